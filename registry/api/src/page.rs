//! The answers of the two discovery routes.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::capability::Capability;
use crate::health::Status;
use crate::schema;

/// The answer of `GET /agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentPage {
    /// The agents of this page, sorted by id, or by score for a fuzzy query.
    pub agents: Vec<Agent>,
    /// What both discovery routes say about a page.
    #[serde(flatten)]
    pub info: PageInfo,
}

/// The answer of `GET /capabilities`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapabilityPage {
    /// The capabilities of this page, sorted by agent id, or by score for a fuzzy query.
    pub capabilities: Vec<CapabilityRow>,
    /// What both discovery routes say about a page.
    #[serde(flatten)]
    pub info: PageInfo,
}

/// What both discovery routes say about a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PageInfo {
    /// Rows of this page.
    pub count: usize,
    /// Rows of all pages.
    pub total: usize,
    /// When the answer was made.
    #[schemars(schema_with = "schema::timestamp")]
    pub timestamp: Timestamp,
    /// The newest change that the answer takes into account.
    pub resource_version: u64,
    /// Whether the registry has been up long enough to have heard everybody.
    #[serde(default = "yes")]
    pub warm: bool,
    /// Pass it as `continue` to get the next page; absent on the last one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
}

/// One capability together with the agent that offers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapabilityRow {
    /// The capability.
    #[serde(flatten)]
    pub capability: Capability,
    /// Who offers it.
    pub agent_id: String,
    /// Its name for people.
    pub agent_name: String,
    /// Its namespace.
    pub agent_namespace: String,
    /// Its health.
    pub agent_status: Status,
    /// Where it is called.
    pub agent_endpoint: String,
    /// Its labels.
    pub agent_labels: std::collections::BTreeMap<String, String>,
    /// Its share of the load among equals.
    pub agent_weight: f64,
    /// How well the row fits a fuzzy query, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

fn yes() -> bool {
    true
}
