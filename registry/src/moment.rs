//! One reading of both clocks: the monotonic one for silence, the wall clock for what people read.
//!
//! The service, the change feed and the sweeper take a moment and hand it down; the rooms below never ask for the
//! time themselves.

use jiff::Timestamp;
use tokio::time::Instant;

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
        let wall = Timestamp::now();
        // Out of range only for times that no clock shows; such a time is kept as it is.
        let wall = Timestamp::from_millisecond(wall.as_millisecond()).unwrap_or(wall);
        Self { instant: Instant::now(), wall }
    }
}
