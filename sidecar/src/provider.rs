//! Everybody who offers a capability, in the form in which a call uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_api::health::Status;
use mesh_api::page::CapabilityRow;
use mesh_mcp::param_header::of_schema;
use mesh_mcp::tool_name::ToolName;
use semver::Version;
use tokio::time::Instant;

use crate::endpoint::{Endpoint, Endpoints, Lane};
use crate::load::PRIOR;

/// How long a computed median is used, so that a busy pool does not compute it for every call.
const MEDIAN_KEPT: Duration = Duration::from_millis(100);
/// Labels that name a zone: Kubernetes' own, and a short one for everybody else.
pub const ZONE_LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "zone"];
/// How much worse an endpoint of another zone looks: it must be faster by a third to be picked all the same.
const OTHER_ZONE: f64 = 1.3;

/// Everybody who offers a capability.
#[derive(Debug)]
pub struct Providers {
    /// One for each agent, sorted by id.
    pub list: Vec<Provider>,
    /// Those that cannot be called at all, and why.
    pub unfit: Vec<Unfit>,
    /// What the registry said.
    pub origin: Origin,
    median: Mutex<Option<(Instant, Duration)>>,
    turns: AtomicUsize,
}

/// One agent that offers the capability.
#[derive(Debug)]
pub struct Provider {
    /// Where it is and how it fares.
    pub endpoint: Arc<Endpoint>,
    /// How this capability fares there.
    pub lane: Arc<Lane>,
    /// Name of the tool.
    pub tool: ToolName,
    /// Version of the capability.
    pub version: Version,
    /// What the registry says about the agent.
    pub status: Status,
    /// Its share of the load.
    pub weight: f64,
    /// Whether calling the tool twice is as good as once.
    pub is_safe_to_repeat: bool,
    /// Whether calls must not go to its address.
    pub is_forbidden: bool,
    /// The agent's labels.
    pub labels: BTreeMap<String, String>,
    /// How much worse it looks because of where it is.
    pub zone_factor: f64,
}

/// An agent whose endpoint cannot be called.
#[derive(Debug)]
pub struct Unfit {
    /// Its id.
    pub agent_id: String,
    /// Its endpoint.
    pub endpoint: String,
    /// Why not.
    pub reason: String,
}

/// What the registry said.
#[derive(Debug, Default)]
pub struct Origin {
    /// Its rows.
    pub rows: Vec<CapabilityRow>,
    /// The tag of its answer.
    pub tag: Option<String>,
    /// The newest change in it.
    pub resource_version: u64,
    /// Whether the registry had just started empty, and had not heard everybody yet.
    pub is_cold: bool,
    /// Agents that it had not heard yet, known from before.
    pub unheard: BTreeSet<String>,
}

// === impl Origin ===

impl Origin {
    /// Adds what `held` says about agents that this registry cannot have heard yet. Whom it has heard in this life of its own
    /// and does not name any more has left; its count of changes begins anew with every life.
    pub fn add_unheard(&mut self, held: &Self) {
        let heard: BTreeSet<_> = self.rows.iter().map(|row| row.agent_id.clone()).collect();
        let is_same_life = held.is_cold && held.resource_version <= self.resource_version;
        let has_left = |id: &String| is_same_life && !held.unheard.contains(id);
        let kept = held.rows.iter().filter(|row| !heard.contains(&row.agent_id) && !has_left(&row.agent_id));
        let kept: Vec<_> = kept.cloned().collect();
        self.unheard = kept.iter().map(|row| row.agent_id.clone()).collect();
        self.rows.extend(kept);
    }
}

// === impl Providers ===

impl Providers {
    /// Reads an answer for a sidecar in `zone`.
    pub fn of(origin: Origin, endpoints: &Endpoints, zone: Option<&str>) -> Self {
        let mut by_agent: BTreeMap<&str, &CapabilityRow> = BTreeMap::new();
        for row in &origin.rows {
            let best = by_agent.entry(&row.agent_id).or_insert(row);
            if best.capability.version < row.capability.version {
                *best = row;
            }
        }
        let (mut list, mut unfit) = (Vec::new(), Vec::new());
        for row in by_agent.into_values() {
            match Provider::of(row, endpoints, zone) {
                Ok(provider) => list.push(provider),
                Err(reason) => unfit.push(Unfit {
                    agent_id: row.agent_id.clone(),
                    endpoint: row.agent_endpoint.clone(),
                    reason,
                }),
            }
        }
        Self { list, unfit, origin, median: Mutex::default(), turns: AtomicUsize::new(0) }
    }

    /// The same, measuring from where an older answer had come to: its median, and whose turn it is.
    #[must_use]
    pub fn after(self, held: &Self) -> Self {
        let median = *held.median.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = AtomicUsize::new(held.turns.load(Ordering::Relaxed));
        Self { median: Mutex::new(median), turns, ..self }
    }

    /// A number that grows with every call.
    pub fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// The median of the latencies that were measured in this pool until `now`.
    pub fn median_latency(&self, now: Instant) -> Duration {
        let mut kept = self.median.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, median)) = *kept
            && now.saturating_duration_since(at) < MEDIAN_KEPT
        {
            return median;
        }
        let before = kept.map_or(PRIOR, |(_, median)| median);
        let mut measured: Vec<_> =
            self.list.iter().filter_map(|provider| provider.lane.latency(before)).collect();
        measured.sort_unstable();
        let median = measured.get(measured.len() / 2).copied().unwrap_or(PRIOR);
        *kept = Some((now, median));
        median
    }
}

// === impl Provider ===

impl Provider {
    fn of(row: &CapabilityRow, endpoints: &Endpoints, zone: Option<&str>) -> Result<Self, String> {
        let endpoint = endpoints.get(&row.agent_id, &row.agent_endpoint)?;
        let params = row.capability.input_schema.as_ref().and_then(|schema| of_schema(schema).ok());
        Ok(Self {
            lane: endpoint.lane(&row.capability.name),
            is_safe_to_repeat: row.capability.annotations.is_safe_to_repeat(),
            is_forbidden: endpoint.pool.refusal().is_some(),
            tool: ToolName::new(&row.capability.name).repeating(params.unwrap_or_default()),
            version: row.capability.version.clone(),
            status: row.agent_status,
            weight: row.agent_weight,
            zone_factor: zone_factor(zone, zone_of(&row.agent_labels)),
            labels: row.agent_labels.clone(),
            endpoint,
        })
    }
}

/// The zone that an agent's labels name.
pub fn zone_of(labels: &BTreeMap<String, String>) -> Option<&str> {
    ZONE_LABELS.iter().find_map(|label| labels.get(*label)).map(String::as_str)
}

/// Nobody looks worse for a zone that is not known.
fn zone_factor(ours: Option<&str>, theirs: Option<&str>) -> f64 {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours != theirs => OTHER_ZONE,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(agent: &str, status: &str) -> CapabilityRow {
        let row = serde_json::json!({"name": "work", "version": "1.0.0", "category": null, "tags": [], "stability": "stable",
            "agent_id": agent, "agent_name": agent, "agent_namespace": "default", "agent_status": status,
            "agent_endpoint": "http://a:1", "agent_labels": {}, "agent_weight": 1.0});
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn whom_a_cold_registry_has_not_heard_stays_and_what_it_says_holds() {
        let of = |rows| Origin { rows, ..Origin::default() };
        let mut cold = of(vec![row("b", "pending")]);
        cold.add_unheard(&of(vec![row("a", "healthy"), row("b", "healthy")]));
        let rows = cold.rows.iter().map(|row| (row.agent_id.as_str(), row.agent_status));
        assert_eq!(rows.collect::<Vec<_>>(), [("b", Status::Pending), ("a", Status::Healthy)]);
    }

    #[test]
    fn whom_a_cold_registry_has_heard_and_does_not_name_any_more_has_left() {
        let cold =
            |rows, resource_version| Origin { rows, resource_version, is_cold: true, ..Origin::default() };
        let agents = |origin: &Origin| origin.rows.iter().map(|row| row.agent_id.clone()).collect::<Vec<_>>();
        let warm =
            Origin { resource_version: 9, ..Origin { rows: vec![row("a", "healthy")], ..Origin::default() } };
        let mut first = cold(vec![row("b", "healthy")], 1);
        first.add_unheard(&warm);
        assert_eq!(agents(&first), ["b", "a"]);
        let mut second = cold(vec![row("c", "healthy")], 3);
        second.add_unheard(&first);
        assert_eq!(agents(&second), ["c", "a"], "b was heard and has left, a was not heard yet");
        let mut after_a_restart = cold(vec![], 0);
        after_a_restart.add_unheard(&second);
        assert_eq!(agents(&after_a_restart), ["c", "a"]);
    }
}
