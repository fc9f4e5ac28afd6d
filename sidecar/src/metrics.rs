//! What the sidecar counts, in Prometheus' terms. No agent ids as labels, and a bounded number of capabilities.

pub mod inbound;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::inbound::Inbound;
use crate::breaker::StateName;

/// Most capabilities that get a label of their own; the rest counts as `other`.
const MAX_CAPABILITIES: usize = 500;
/// Upper bounds of the duration buckets, in seconds: from a local tool to a model that thinks.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

/// The label of capabilities that have none of their own.
const OTHER: &str = "other";
/// The result of an attempt that was answered, and of a peer's request that our agent answered.
pub const ANSWERED: &str = "answered";
/// The outcome of a call that was answered.
pub const SUCCESS: &str = "success";
/// Outcomes of calls of which it is not known whether anybody offers the capability.
const NOT_FOUND: [&str; 3] = ["no_provider", "registry_away", "query_refused"];

/// What the sidecar counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What peers ask of our agent.
    pub inbound: Inbound,
    requests: Family<CallLabels, Counter>,
    duration: Histogram,
    attempts: Family<ResultLabel, Counter>,
    /// The one of them that nearly every call counts.
    answered: OnceLock<Counter>,
    retries_denied: Family<ReasonLabel, Counter>,
    breaker_transitions: Family<StateLabel, Counter>,
    discovery_refreshes: Family<ResultLabel, Counter>,
    heartbeats: Family<ResultLabel, Counter>,
    registry_up: Gauge,
    in_flight: Gauge,
    streams_open: Gauge,
    hedges: Counter,
    endpoints: Family<EndpointLabel, Gauge>,
    discovery_age: Gauge<f64, AtomicU64>,
    discovery_entries: Gauge,
    capabilities: Mutex<HashSet<String>>,
}

/// What counts the calls of one capability.
#[derive(Debug)]
pub struct Meters {
    capability: String,
    success: OnceLock<Counter>,
    metrics: Arc<Metrics>,
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
struct EndpointLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    to: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mesh");
        let this = Self {
            inbound: Inbound::new(Histogram::new(DURATION_BUCKETS)),
            requests: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            attempts: Family::default(),
            answered: OnceLock::new(),
            retries_denied: Family::default(),
            breaker_transitions: Family::default(),
            discovery_refreshes: Family::default(),
            heartbeats: Family::default(),
            registry_up: Gauge::default(),
            in_flight: Gauge::default(),
            streams_open: Gauge::default(),
            hedges: Counter::default(),
            endpoints: Family::default(),
            discovery_age: Gauge::default(),
            discovery_entries: Gauge::default(),
            capabilities: Mutex::default(),
            registry: Registry::default(),
        };
        this.inbound.register(&mut registry);
        registry.register("requests", "Calls by capability and outcome", this.requests.clone());
        registry.register(
            "request_duration_seconds",
            "Time until the answer began, with all attempts",
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
        registry.register("streams_open", "Streamed answers under way", this.streams_open.clone());
        registry.register("hedges", "Second attempts beside a slow first one", this.hedges.clone());
        registry.register(
            "endpoints",
            "Known endpoints by the state of their breaker",
            this.endpoints.clone(),
        );
        registry.register(
            "discovery_age_seconds",
            "Age of the oldest answer about providers in use",
            this.discovery_age.clone(),
        );
        registry.register(
            "discovery_entries",
            "Remembered answers about providers",
            this.discovery_entries.clone(),
        );
        Self { registry, ..this }
    }
}

impl Metrics {
    /// What counts the calls of `capability`.
    pub fn of(self: &Arc<Self>, capability: &str) -> Meters {
        let capability = capability.to_owned();
        Meters { capability, success: OnceLock::new(), metrics: Arc::clone(self) }
    }

    /// A request that is no call was refused.
    pub fn refused(&self, outcome: &'static str) {
        let capability = OTHER.to_owned();
        self.requests.get_or_create(&CallLabels { capability, outcome }).inc();
    }

    /// A second attempt was made beside a slow first one.
    pub fn hedged(&self) {
        self.hedges.inc();
    }

    /// A streamed answer began.
    pub fn stream_opened(&self) {
        self.streams_open.inc();
    }

    /// A streamed answer ended.
    pub fn stream_closed(&self) {
        self.streams_open.dec();
    }

    /// The endpoints that are known now, by the state of their breakers.
    pub fn observe_endpoints(&self, states: impl Iterator<Item = StateName>) {
        let mut counts = [StateName::Closed, StateName::Open, StateName::HalfOpen].map(|state| (state, 0));
        for state in states {
            counts.iter_mut().filter(|(one, _)| *one == state).for_each(|(_, count)| *count += 1);
        }
        for (state, count) in counts {
            self.endpoints.get_or_create(&EndpointLabel { state: word(state) }).set(count);
        }
    }

    /// The answers about providers that are remembered now.
    pub fn observe_discovery(&self, entries: usize, oldest: Duration) {
        self.discovery_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.discovery_age.set(oldest.as_secs_f64());
    }

    /// An attempt ended.
    pub fn attempt_ended(&self, result: &'static str) {
        let counter = || self.attempts.get_or_create(&ResultLabel { result }).clone();
        if result == ANSWERED {
            self.answered.get_or_init(counter).inc()
        } else {
            counter().inc()
        };
    }

    /// A failed attempt was not repeated.
    pub fn retry_denied(&self, reason: &'static str) {
        self.retries_denied.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A breaker changed its state.
    pub fn breaker_changed(&self, state: StateName) {
        self.breaker_transitions.get_or_create(&StateLabel { to: word(state) }).inc();
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
            return OTHER.to_owned();
        }
        if !known.contains(capability) {
            known.insert(capability.to_owned());
        }
        capability.to_owned()
    }
}

// === impl Meters ===

impl Meters {
    /// A call ended `took` after it began; a streamed answer may still be on its way.
    pub fn call_ended(&self, outcome: &'static str, took: Duration) {
        if outcome == SUCCESS {
            self.success.get_or_init(|| self.counter(&self.metrics.bounded(&self.capability), SUCCESS)).inc();
        } else if NOT_FOUND.contains(&outcome) {
            // Callers must not be able to make up labels.
            self.metrics.refused(outcome);
        } else {
            self.counter(&self.metrics.bounded(&self.capability), outcome).inc();
        }
        self.metrics.duration.observe(took.as_secs_f64());
    }

    fn counter(&self, capability: &str, outcome: &'static str) -> Counter {
        let labels = CallLabels { capability: capability.to_owned(), outcome };
        self.metrics.requests.get_or_create(&labels).clone()
    }
}

const fn word(state: StateName) -> &'static str {
    match state {
        StateName::Closed => "closed",
        StateName::Open => "open",
        StateName::HalfOpen => "half_open",
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
        let metrics = Arc::new(Metrics::default());
        metrics.of("summarize").call_ended(SUCCESS, Duration::from_millis(3));
        metrics.of("made_up").call_ended("no_provider", Duration::ZERO);
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
        let metrics = Arc::new(Metrics::default());
        (0..2 * MAX_CAPABILITIES)
            .for_each(|i| metrics.of(&format!("c{i}")).call_ended(SUCCESS, Duration::ZERO));
        assert_eq!(metrics.render().matches("mesh_requests_total{").count(), MAX_CAPABILITIES + 1);
    }

    #[test]
    fn endpoints_are_counted_by_state() {
        let metrics = Metrics::default();
        metrics.observe_endpoints([StateName::Open, StateName::Closed, StateName::Closed].into_iter());
        metrics.observe_endpoints([StateName::Open, StateName::Closed].into_iter());
        let text = metrics.render();
        assert!(text.contains(r#"mesh_endpoints{state="closed"} 1"#), "{text}");
        assert!(text.contains(r#"mesh_endpoints{state="half_open"} 0"#), "{text}");
    }
}
