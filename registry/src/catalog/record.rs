//! One agent in memory: its registration as stored, its thresholds, and what is heard from it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mesh_api::agent::{Agent, Registration};
use mesh_api::health::{AgentHealth, Reported, Status};
use mesh_api::page::CapabilityRow;

use super::vitals::Vitals;
use crate::health::{Thresholds, Vantage};
use crate::store::change::Stored;

/// One agent in memory. Replaced when its registration changes; its vitals live on.
#[derive(Debug)]
pub struct Record {
    /// Its registration as stored.
    pub stored: Arc<Stored>,
    /// How long it may be silent.
    pub thresholds: Thresholds,
    /// What is heard from it.
    pub vitals: Arc<Vitals>,
}

impl Record {
    /// What the agent said when it registered.
    pub fn registration(&self) -> &Registration {
        &self.stored.registration
    }

    /// Its status.
    pub fn status(&self, from: Vantage) -> Status {
        self.vitals.signs().status(&self.thresholds, from)
    }

    /// How often the registry wants to hear it, in seconds.
    pub fn cadence(&self) -> f64 {
        self.thresholds.cadence(self.registration().health_interval)
    }

    /// The record as it is answered.
    pub fn agent(&self, status: Status, score: Option<f64>) -> Agent {
        let mut registration = self.registration().clone();
        self.vitals.overlay(&mut registration.metadata);
        Agent {
            registration,
            status,
            last_heartbeat: self.vitals.last_heartbeat(),
            created_at: self.stored.created_at,
            updated_at: self.stored.updated_at,
            resource_version: self.stored.revision,
            incarnation: self.stored.incarnation,
            owner: self.stored.owner.clone(),
            score,
        }
    }

    /// Its capability number `index` as it is answered.
    pub fn row(&self, index: usize, status: Status, score: Option<f64>) -> Option<CapabilityRow> {
        let registration = self.registration();
        Some(CapabilityRow {
            capability: registration.capabilities.get(index)?.clone(),
            agent_id: registration.id.clone(),
            agent_name: registration.name.clone(),
            agent_namespace: registration.namespace.clone(),
            agent_status: status,
            agent_endpoint: registration.endpoint.clone(),
            agent_labels: registration.labels.clone(),
            agent_weight: registration.weight,
            score,
        })
    }

    /// What is known about its health.
    pub fn health(&self, from: Vantage) -> AgentHealth {
        let signs = self.vitals.signs();
        let status = signs.status(&self.thresholds, from);
        let last = self.vitals.last_heartbeat();
        let silence = from.now.saturating_duration_since(signs.silent_since).as_secs_f64();
        AgentHealth {
            agent_id: self.registration().id.clone(),
            status,
            last_heartbeat: last,
            next_heartbeat_expected: last.and_then(|last| later(last, self.cadence())),
            time_since_heartbeat: last.map(|_| rounded(silence)),
            timeout_threshold: self.thresholds.timeout.as_secs_f64(),
            eviction_threshold: self.thresholds.eviction.as_secs_f64(),
            is_expired: status == Status::Expired,
            message: self.message(status, signs.reported, signs.heard, silence),
        }
    }

    fn message(&self, status: Status, reported: Reported, heard: bool, silence: f64) -> String {
        let id = &self.registration().id;
        let thresholds = self.thresholds;
        let silent = if heard { "silent" } else { "registered and never heard" };
        match status {
            Status::Pending => format!("agent {id} has registered, no heartbeat yet"),
            Status::Healthy => format!("agent {id} is healthy"),
            Status::Degraded if reported == Reported::Degraded && heard => {
                format!("agent {id} says it is degraded")
            }
            Status::Degraded => {
                format!(
                    "agent {id} is {silent} for {silence:.1} s, longer than {} s",
                    thresholds.timeout.as_secs_f64()
                )
            }
            Status::Draining => format!("agent {id} is draining and takes no new work"),
            Status::Offline => format!("agent {id} said that it goes offline"),
            Status::Expired => {
                format!(
                    "agent {id} is {silent} for {silence:.1} s, longer than {} s",
                    thresholds.eviction.as_secs_f64()
                )
            }
        }
    }
}

fn later(time: Timestamp, seconds: f64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

/// Seconds to the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
