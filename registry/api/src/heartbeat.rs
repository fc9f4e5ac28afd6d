//! A sign of life, and the registry's answer to it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::{ID_PATTERN, ID_RULE, MAX_ID, is_id};
use crate::document::{self, Fields, Findings, word};
use crate::error::{Fault, Outcome};
use crate::health::Reported;
use crate::schema;

/// A sign of life of one agent. Keys that are not known are ignored; a key that is null counts as absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// The agent that is alive.
    #[schemars(length(max = MAX_ID), extend("pattern" = ID_PATTERN))]
    pub agent_id: String,
    /// How it feels.
    #[serde(default)]
    pub status: Reported,
    /// What it wants shown beside its record, such as its load.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Version of the record that the sender believes is registered.
    #[schemars(range(max = u64::MAX))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<u64>,
}

/// The registry's answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeartbeatAnswer {
    /// Always `success`.
    #[schemars(schema_with = "schema::success")]
    pub status: Outcome,
    /// When it was heard.
    #[schemars(schema_with = "schema::timestamp")]
    pub timestamp: Timestamp,
    /// The same in a sentence.
    pub message: String,
    /// Version of the record that is registered.
    pub resource_version: u64,
    /// Seconds until the registry wants to hear the agent again.
    pub next_heartbeat_in: f64,
    /// Whether the registry cannot reach its store: it has heard the agent, and tells other registries later. Whoever
    /// knows another one should tell that as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub degraded: bool,
}

impl Heartbeat {
    /// Reads a heartbeat. Keys that mean nothing are ignored.
    ///
    /// # Errors
    /// Every fault of the document.
    pub fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        let mut findings = Findings::default();
        let heartbeat = Fields::open(value, "", &mut findings).map(|mut fields| Self {
            agent_id: fields.required("agent_id", word(ID_RULE, is_id)).unwrap_or_default(),
            status: fields.optional("status", document::parsed).unwrap_or_default(),
            metadata: fields.optional("metadata", document::object).unwrap_or_default(),
            resource_version: fields.optional("resource_version", whole),
        });
        findings.conclude(heartbeat).map(|(heartbeat, _)| heartbeat)
    }
}

/// A whole number; `5.0` is one too, as in JSON Schema.
fn whole(value: &Value) -> Result<u64, String> {
    /// The first number that does not fit.
    const END: f64 = 18_446_744_073_709_551_616.0;
    let fraction = || value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..END).contains(number));
    let fault = || match value {
        Value::Number(number) => format!("must be a whole number from 0 to {}, got {number}", u64::MAX),
        other => format!("must be a whole number, got {}", document::kind(other)),
    };
    value.as_u64().or_else(|| fraction().map(|number| number as u64)).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_is_all_a_heartbeat_needs() {
        let heartbeat = Heartbeat::from_value(&json!({"agent_id": "my-agent-001"})).unwrap();
        assert_eq!(heartbeat.status, Reported::Healthy);
    }

    #[test]
    fn a_bad_heartbeat_names_every_fault() {
        let faults = Heartbeat::from_value(&json!({"status": "sleepy", "metadata": 3})).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn a_version_is_a_whole_number_however_it_is_written() {
        let version = |version: Value| {
            let heartbeat = Heartbeat::from_value(&json!({"agent_id": "a", "resource_version": version}));
            heartbeat.ok().and_then(|heartbeat| heartbeat.resource_version)
        };
        assert_eq!([json!(7), json!(7.0)].map(version), [Some(7), Some(7)]);
        assert_eq!([json!(7.5), json!(-1), json!(1e20)].map(version), [None; 3]);
    }
}
