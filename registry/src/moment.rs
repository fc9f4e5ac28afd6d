//! One reading of both clocks: the monotonic one for silence, the wall clock for what people read.
//!
//! The service, the change feed and the sweeper take a moment and hand it down; the rooms below never ask for the
//! time themselves.

use std::cell::Cell;

use jiff::Timestamp;
use tokio::time::Instant;

thread_local! {
    /// When the two clocks were set to go together, and what the wall clock showed then.
    static TOGETHER: Cell<Option<(Instant, Timestamp)>> = const { Cell::new(None) };
}

/// From here on, the wall clock of this thread shows `wall` and goes with the monotonic one: a simulation pauses that, and
/// must not see the time of the machine that it runs on.
pub fn go_together_from(wall: Timestamp) {
    TOGETHER.set(Some((Instant::now(), wall)));
}

/// One point in time, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For durations.
    pub instant: Instant,
    /// For people, in whole milliseconds.
    pub wall: Timestamp,
}

impl Moment {
    /// Reads both clocks.
    pub fn now() -> Self {
        let instant = Instant::now();
        let together = TOGETHER.get().map(|(since, wall)| wall + instant.saturating_duration_since(since));
        let wall = together.unwrap_or_else(Timestamp::now);
        // Out of range only for times that no clock shows; such a time is kept as it is.
        let wall = Timestamp::from_millisecond(wall.as_millisecond()).unwrap_or(wall);
        Self { instant, wall }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clocks_of_a_simulation_go_together() {
        let wall = Timestamp::from_second(1_000_000).unwrap();
        go_together_from(wall);
        let first = Moment::now();
        tokio::time::advance(Duration::from_millis(1_500)).await;
        let second = Moment::now();
        assert_eq!((first.wall, second.wall - first.wall), (wall, jiff::SignedDuration::from_millis(1_500)));
        assert_eq!(second.instant - first.instant, Duration::from_millis(1_500));
    }
}
