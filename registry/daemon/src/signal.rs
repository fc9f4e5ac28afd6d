//! Waits for the order to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Returns when the process is asked to end, by `SIGTERM` or `SIGINT`, and says which.
///
/// # Errors
/// When the handlers cannot be installed.
pub async fn terminated() -> std::io::Result<&'static str> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}
