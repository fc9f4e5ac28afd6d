//! The measure of finagle, linkerd and tower, as a reference.

use std::time::Duration;

use tokio::time::Instant;

/// The moving average of finagle and tower: peaks count at once, silence decays it to 0. Failures are samples like any.
#[derive(Debug)]
pub(crate) struct PeakEwma {
    seconds: f64,
    at: Instant,
}

impl PeakEwma {
    /// Time in which it loses 63 %: the default of finagle and linkerd.
    const DECAY: Duration = Duration::from_secs(10);
    /// Latency that is assumed where nothing was measured: the default of linkerd.
    const DEFAULT: Duration = Duration::from_millis(30);

    /// Nothing measured yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { seconds: Self::DEFAULT.as_secs_f64(), at: now }
    }

    /// Notes that a call took so long.
    pub(crate) fn sample(&mut self, took: Duration, now: Instant) {
        let (sample, old) = (took.as_secs_f64(), self.seconds(now));
        self.seconds = if sample > old { sample } else { old + sample * (1.0 - self.kept(now)) };
        self.at = now;
    }

    /// The average, in seconds.
    pub(crate) fn seconds(&self, now: Instant) -> f64 {
        self.seconds * self.kept(now)
    }

    fn kept(&self, now: Instant) -> f64 {
        (-now.duration_since(self.at).as_secs_f64() / Self::DECAY.as_secs_f64()).exp()
    }
}
