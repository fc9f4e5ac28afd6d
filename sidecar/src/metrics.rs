//! What the sidecar counts, in Prometheus' terms. No agent ids as labels, and a bounded number of capabilities.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::breaker::StateName;

/// Most capabilities that get a label of their own; the rest counts as `other`.
const MAX_CAPABILITIES: usize = 500;
/// Upper bounds of the duration buckets, in seconds: from a local tool to a model that thinks.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

/// What the sidecar counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<CallLabels, Counter>,
    duration: Histogram,
    attempts: Family<ResultLabel, Counter>,
    retries_denied: Family<ReasonLabel, Counter>,
    breaker_transitions: Family<StateLabel, Counter>,
    discovery_refreshes: Family<ResultLabel, Counter>,
    heartbeats: Family<ResultLabel, Counter>,
    registry_up: Gauge,
    in_flight: Gauge,
    capabilities: Mutex<HashSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    capability: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    to: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mesh");
        let this = Self {
            requests: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            attempts: Family::default(),
            retries_denied: Family::default(),
            breaker_transitions: Family::default(),
            discovery_refreshes: Family::default(),
            heartbeats: Family::default(),
            registry_up: Gauge::default(),
            in_flight: Gauge::default(),
            capabilities: Mutex::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Calls by capability and outcome", this.requests.clone());
        registry.register(
            "request_duration_seconds",
            "Time of a call, with all its attempts",
            this.duration.clone(),
        );
        registry.register("attempts", "Attempts at providers by result", this.attempts.clone());
        registry.register(
            "retries_denied",
            "Failed attempts that were not repeated",
            this.retries_denied.clone(),
        );
        registry.register(
            "breaker_transitions",
            "Changes of circuit breakers",
            this.breaker_transitions.clone(),
        );
        registry.register("discovery_refresh", "Questions to the registry", this.discovery_refreshes.clone());
        registry.register("heartbeat", "Heartbeats of our own agent by result", this.heartbeats.clone());
        registry.register("registry_up", "Whether the registry answered last time", this.registry_up.clone());
        registry.register("in_flight", "Calls in flight", this.in_flight.clone());
        Self { registry, ..this }
    }
}

impl Metrics {
    /// A call ended. `capability` is none when nobody offers it, so that callers cannot make up labels.
    pub fn call_ended(&self, capability: Option<&str>, outcome: &'static str, took: Duration) {
        let capability = capability.map_or_else(|| "other".to_owned(), |name| self.bounded(name));
        self.requests.get_or_create(&CallLabels { capability, outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// An attempt ended.
    pub fn attempt_ended(&self, result: &'static str) {
        self.attempts.get_or_create(&ResultLabel { result }).inc();
    }

    /// A failed attempt was not repeated.
    pub fn retry_denied(&self, reason: &'static str) {
        self.retries_denied.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A breaker changed its state.
    pub fn breaker_changed(&self, state: StateName) {
        let to = match state {
            StateName::Closed => "closed",
            StateName::Open => "open",
            StateName::HalfOpen => "half_open",
        };
        self.breaker_transitions.get_or_create(&StateLabel { to }).inc();
    }

    /// The registry was asked.
    pub fn discovery_refreshed(&self, succeeded: bool) {
        self.registry_up.set(i64::from(succeeded));
        self.discovery_refreshes.get_or_create(&outcome(succeeded)).inc();
    }

    /// A heartbeat was sent.
    pub fn heartbeat_sent(&self, succeeded: bool) {
        self.registry_up.set(i64::from(succeeded));
        self.heartbeats.get_or_create(&outcome(succeeded)).inc();
    }

    /// The number of calls in flight changed.
    pub fn in_flight(&self, calls: usize) {
        self.in_flight.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// Everything, as text for Prometheus.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            // INVARIANT: writing to a String cannot fail; a comment is what a scraper can read all the same.
            let _ = writeln!(text, "# the metrics could not be written");
        }
        text
    }

    fn bounded(&self, capability: &str) -> String {
        let mut known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(capability) && known.len() >= MAX_CAPABILITIES {
            return "other".to_owned();
        }
        if !known.contains(capability) {
            known.insert(capability.to_owned());
        }
        capability.to_owned()
    }
}

fn outcome(succeeded: bool) -> ResultLabel {
    ResultLabel { result: if succeeded { "success" } else { "failure" } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_made_up_names_are_not_labels() {
        let metrics = Metrics::default();
        metrics.call_ended(Some("summarize"), "success", Duration::from_millis(3));
        metrics.call_ended(None, "no_provider", Duration::ZERO);
        let text = metrics.render();
        assert!(
            text.contains(r#"mesh_requests_total{capability="summarize",outcome="success"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"mesh_requests_total{capability="other",outcome="no_provider"} 1"#),
            "{text}"
        );
    }

    #[test]
    fn the_number_of_labels_is_bounded() {
        let metrics = Metrics::default();
        (0..2 * MAX_CAPABILITIES)
            .for_each(|i| metrics.call_ended(Some(&format!("c{i}")), "success", Duration::ZERO));
        assert_eq!(metrics.render().matches("mesh_requests_total{").count(), MAX_CAPABILITIES + 1);
    }
}
