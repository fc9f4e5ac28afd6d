//! Patience with a limit: polls a condition instead of waiting a fixed time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longest patience of a test. Generous, because machines that run tests are busy; a test that passes never needs it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `look` sees what `what` says, and returns it.
///
/// # Panics
/// When it does not come within [`PATIENCE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(PAUSE).await;
    }
}
