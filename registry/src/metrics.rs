//! What the registry counts about itself, as Prometheus text and as JSON.
//!
//! Counters are held here and bumped by the service, the sweeper and the HTTP layer; everything about agents is
//! counted from the catalog when somebody asks. Labels are bounded: routes, methods and status classes, no ids.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::health::Status;
use mesh_api::schema;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use schemars::JsonSchema;
use serde::Serialize;

use crate::catalog::census::Census;

/// Upper bounds of the duration buckets, in seconds: from a read out of memory to a store that gives up.
const DURATION_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Bytes of a page of memory, as `/proc/self/statm` counts them on every platform we build for.
const PAGE_BYTES: f64 = 4096.0;
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// What the registry counts about itself.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Registrations that were accepted, unchanged ones among them.
    pub registrations: Counter,
    /// Heartbeats that were accepted.
    pub heartbeats: Counter,
    /// Requests that are being answered.
    pub requests_in_flight: Gauge,
    /// Watches that are open.
    pub watchers: Gauge,
    durations: Family<RequestLabels, Histogram>,
    gauges: Gauges,
}

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route as it is declared, not as it was asked for.
    pub route: String,
    /// The method, if the API uses it.
    pub method: &'static str,
    /// `2xx`, `3xx`, `4xx` or `5xx`.
    pub status: &'static str,
}

/// Set from the catalog whenever somebody asks.
#[derive(Debug, Default)]
struct Gauges {
    agents: Gauge,
    by_status: Family<StatusLabels, Gauge>,
    capabilities: Gauge,
    uptime: Gauge<f64, AtomicU64>,
    expiry_frozen: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

/// The answer of `GET /metrics`.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the contract and say what they count")]
pub struct MetricsReport {
    pub total_agents: usize,
    pub healthy_agents: usize,
    pub degraded_agents: usize,
    pub expired_agents: usize,
    pub offline_agents: usize,
    pub pending_agents: usize,
    pub total_capabilities: usize,
    pub unique_capability_types: usize,
    pub uptime_seconds: f64,
    pub heartbeats_processed: u64,
    pub registrations_processed: u64,
    /// Resident set, in MiB; 0 where the system does not tell.
    pub memory_usage_mb: f64,
    /// Requests that are being answered.
    pub active_connections: i64,
    pub agents_by_namespace: std::collections::BTreeMap<String, usize>,
    pub agents_by_status: std::collections::BTreeMap<Status, usize>,
    pub capabilities_by_category: std::collections::BTreeMap<String, usize>,
    #[schemars(schema_with = "schema::timestamp")]
    pub last_updated: Timestamp,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mcp_registry");
        let (registrations, heartbeats, requests_in_flight, watchers) = Default::default();
        let durations =
            Family::new_with_constructor((|| Histogram::new(DURATION_BUCKETS)) as fn() -> Histogram);
        let gauges = Gauges::default();
        registry.register("registrations", "Registrations accepted", Counter::clone(&registrations));
        registry.register("heartbeats", "Heartbeats accepted", Counter::clone(&heartbeats));
        registry.register("requests_in_flight", "Requests being answered", Gauge::clone(&requests_in_flight));
        registry.register("watchers", "Watches that are open", Gauge::clone(&watchers));
        registry.register("request_duration_seconds", "Time to the head of an answer", durations.clone());
        registry.register("agents_total", "Agents registered", gauges.agents.clone());
        registry.register("agents_by_status", "Agents in each status", gauges.by_status.clone());
        registry.register("capabilities_total", "Capabilities offered", gauges.capabilities.clone());
        registry.register("uptime_seconds", "Time since the start", gauges.uptime.clone());
        registry.register("expiry_frozen", "1 while no agent expires", gauges.expiry_frozen.clone());
        Self { registry, registrations, heartbeats, requests_in_flight, watchers, durations, gauges }
    }
}

impl Metrics {
    /// Counts an answered request.
    pub fn answered(&self, labels: &RequestLabels, duration: Duration) {
        self.durations.get_or_create(labels).observe(duration.as_secs_f64());
    }

    /// Everything as text in the OpenMetrics format.
    pub fn text(&self, census: &Census, uptime: Duration, is_expiry_frozen: bool) -> String {
        self.gauges.set(census, uptime, is_expiry_frozen);
        let mut text = String::new();
        if text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be written as text");
        }
        text
    }

    /// Everything as JSON.
    pub fn report(&self, census: Census, uptime: Duration, now: Timestamp) -> MetricsReport {
        MetricsReport {
            total_agents: census.agents(),
            healthy_agents: census.agents_in(Status::Healthy),
            degraded_agents: census.agents_in(Status::Degraded),
            expired_agents: census.agents_in(Status::Expired),
            offline_agents: census.agents_in(Status::Offline),
            pending_agents: census.agents_in(Status::Pending),
            total_capabilities: census.capabilities,
            unique_capability_types: census.capability_names,
            uptime_seconds: uptime.as_secs_f64(),
            heartbeats_processed: self.heartbeats.get(),
            registrations_processed: self.registrations.get(),
            memory_usage_mb: resident_megabytes(),
            active_connections: self.requests_in_flight.get(),
            agents_by_namespace: census.agents_by_namespace,
            agents_by_status: census.agents_by_status,
            capabilities_by_category: census.capabilities_by_category,
            last_updated: now,
        }
    }
}

impl Gauges {
    fn set(&self, census: &Census, uptime: Duration, is_expiry_frozen: bool) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.agents.set(whole(census.agents()));
        for (status, count) in &census.agents_by_status {
            self.by_status.get_or_create(&StatusLabels { status: status.as_str() }).set(whole(*count));
        }
        self.capabilities.set(whole(census.capabilities));
        self.uptime.set(uptime.as_secs_f64());
        self.expiry_frozen.set(i64::from(is_expiry_frozen));
    }
}

/// Resident set of this process, in MiB; 0 where the system does not tell.
fn resident_megabytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split(' ').nth(1)?.parse::<f64>().ok())
        .unwrap_or_default();
    pages * PAGE_BYTES / MEGABYTE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_names_that_dashboards_know() {
        let metrics = Metrics::default();
        let labels = RequestLabels { route: "/agents".to_owned(), method: "GET", status: "2xx" };
        metrics.answered(&labels, Duration::from_millis(2));
        metrics.heartbeats.inc();
        let census = Census { agents_by_status: [(Status::Healthy, 3)].into(), ..Census::default() };
        let text = metrics.text(&census, Duration::from_secs(9), true);
        for line in [
            "mcp_registry_agents_total 3",
            "mcp_registry_agents_by_status{status=\"healthy\"} 3",
            "mcp_registry_capabilities_total 0",
            "mcp_registry_registrations_total 0",
            "mcp_registry_heartbeats_total 1",
            "mcp_registry_uptime_seconds 9.0",
            "mcp_registry_expiry_frozen 1",
            "mcp_registry_request_duration_seconds_count{route=\"/agents\",method=\"GET\",status=\"2xx\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_running_process_uses_memory() {
        assert!(resident_megabytes() > 1.0);
    }
}
