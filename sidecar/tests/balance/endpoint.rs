//! What one simulated sidecar knows about one agent.

use mesh_sidecar::breaker::{Breaker, StateName};
use mesh_sidecar::load::Load;
use tokio::time::Instant;

use crate::peak_ewma::PeakEwma;

/// The real machines of one endpoint, and what another policy would measure.
pub(crate) struct Endpoint {
    /// The real measurements.
    pub(crate) load: Load,
    /// The real breaker.
    pub(crate) breaker: Breaker,
    /// What another policy would measure.
    pub(crate) peak: PeakEwma,
    /// Calls in flight.
    pub(crate) in_flight: usize,
}

impl Endpoint {
    /// An endpoint that was never called.
    pub(crate) fn new(now: Instant) -> Self {
        Self { load: Load::default(), breaker: Breaker::default(), peak: PeakEwma::new(now), in_flight: 0 }
    }

    /// Whether a call that is safe to repeat should go here to see whether it has recovered.
    pub(crate) fn is_on_trial(&self, now: Instant) -> bool {
        self.breaker.state() == StateName::HalfOpen || self.load.trial_is_due(now)
    }
}
