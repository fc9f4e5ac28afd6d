//! What the registry says about an agent's health.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// The health status of an agent. Derived from its heartbeats, never set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Registered, no heartbeat yet.
    Pending,
    /// Heartbeats arrive and the agent says it is well.
    Healthy,
    /// Silent for longer than its timeout threshold, or it says so itself.
    Degraded,
    /// Still there, and asks for no new work.
    Draining,
    /// It said that it went away.
    Offline,
    /// Silent for longer than its eviction threshold.
    Expired,
}

/// What an agent may say about itself in a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reported {
    /// All is well.
    #[default]
    Healthy,
    /// It works, but badly.
    Degraded,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It is gone.
    Offline,
}

/// The answer of `GET /health/{id}`. Durations are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentHealth {
    /// The agent asked about.
    pub agent_id: String,
    /// Its status now.
    pub status: Status,
    /// When it was last heard; null before the first heartbeat.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    pub last_heartbeat: Option<Timestamp>,
    /// When the next heartbeat is due; null before the first.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    pub next_heartbeat_expected: Option<Timestamp>,
    /// Seconds of silence; null before the first heartbeat.
    pub time_since_heartbeat: Option<f64>,
    /// Seconds of silence after which it counts as degraded.
    pub timeout_threshold: f64,
    /// Seconds of silence after which it counts as expired.
    pub eviction_threshold: f64,
    /// Whether the status is `expired`.
    pub is_expired: bool,
    /// The same in a sentence.
    pub message: String,
}

/// Why a text is not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of pending, healthy, degraded, draining, offline, expired")]
pub struct UnknownStatus;

// === impl Status ===

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Healthy, Self::Degraded, Self::Draining, Self::Offline, Self::Expired];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Offline => "offline",
            Self::Expired => "expired",
        }
    }

    /// Whether an agent of this status has left or is given up: it comes back by beginning a new life.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::Offline | Self::Expired)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

// === impl Reported ===

impl Reported {
    /// Everything that an agent may say.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Draining, Self::Offline];
}

impl FromStr for Reported {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "healthy" => Ok(Self::Healthy),
            "degraded" => Ok(Self::Degraded),
            "draining" => Ok(Self::Draining),
            "offline" => Ok(Self::Offline),
            _ => Err("must be one of healthy, degraded, draining, offline"),
        }
    }
}
