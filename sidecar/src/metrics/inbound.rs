//! What is counted of peers' requests for our agent.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What is counted of peers' requests for our agent.
#[derive(Debug)]
pub struct Inbound {
    requests: Family<OutcomeLabel, Counter>,
    duration: Histogram,
    in_flight: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

// === impl Inbound ===

impl Inbound {
    /// Counts durations in `buckets`.
    pub(super) fn new(buckets: Histogram) -> Self {
        Self { requests: Family::default(), duration: buckets, in_flight: Gauge::default() }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "inbound_requests",
            "Peers' requests for our agent by outcome: answered, or why not",
            self.requests.clone(),
        );
        registry.register(
            "inbound_request_duration_seconds",
            "Time until our agent's answer to a peer began",
            self.duration.clone(),
        );
        registry.register(
            "inbound_in_flight",
            "Peers' requests that our agent works on, streams included",
            self.in_flight.clone(),
        );
    }

    /// Our agent begins to work on a request.
    pub fn entered(&self) {
        self.in_flight.inc();
    }

    /// It has done its work.
    pub fn left(&self) {
        self.in_flight.dec();
    }

    /// A request was answered or refused; the answer may still be on its way.
    pub fn ended(&self, outcome: &'static str) {
        self.requests.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Our agent began to answer a request `took` after it came.
    pub fn answered(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }
}
