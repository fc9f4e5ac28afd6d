//! The registration document that agents send, and the record that the registry keeps and answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::capability::{self, Capability};
use crate::dependency::{self, Dependency};
use crate::document::{self, Fields, Findings, number, text, word};
use crate::endpoint;
use crate::error::Fault;
use crate::health::Status;
use crate::label::{self, MAX_LABELS};
use crate::schema;

/// Longest agent id, and longest name.
pub const MAX_ID: usize = 253;
/// Most capabilities of one agent.
pub const MAX_CAPABILITIES: usize = 1_000;
/// Seconds between heartbeats when the document does not say.
pub const DEFAULT_HEALTH_INTERVAL: f64 = 30.0;
/// Shortest and longest interval between heartbeats, in seconds.
pub const HEALTH_INTERVAL_RANGE: (f64, f64) = (0.1, 3600.0);
/// Longest threshold of silence, in seconds.
pub const MAX_THRESHOLD: f64 = 86_400.0;
/// Largest weight of an agent in load balancing; 0 takes it out.
pub const MAX_WEIGHT: f64 = 1_000.0;
/// Weight of agents that give none.
pub const DEFAULT_WEIGHT: f64 = 1.0;
/// Namespace of agents that name none, and the type of those.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What an agent says about itself when it registers.
///
/// Keys that are not known are accepted and named in the answer's `warnings`; a key that is null counts as absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// Unique in the whole mesh.
    #[schemars(length(max = MAX_ID), extend("pattern" = ID_PATTERN))]
    pub id: String,
    /// For people; the id when absent.
    #[schemars(default, length(min = 1, max = MAX_ID), transform = schema::without_default)]
    pub name: String,
    /// The namespace the agent lives in.
    #[schemars(default = "default_word", extend("pattern" = label::DNS_LABEL_PATTERN))]
    pub namespace: String,
    /// Selects the default thresholds.
    #[schemars(default = "default_word", extend("pattern" = AGENT_TYPE_PATTERN))]
    pub agent_type: String,
    /// Where the agent is called: an `http:` or `https:` URL with a host, without user info and fragment, or a
    /// `stdio:` URL.
    #[schemars(length(max = endpoint::MAX_ENDPOINT), extend("pattern" = endpoint::PATTERN))]
    pub endpoint: String,
    /// What it can do. No two of them may have the same name and version.
    #[schemars(default, length(max = MAX_CAPABILITIES))]
    pub capabilities: Vec<Capability>,
    /// What selectors match. The prefix of a key has at most 253 characters.
    #[schemars(default, schema_with = "label::labels_schema")]
    pub labels: BTreeMap<String, String>,
    /// Notes for people and tools: keys as those of labels, 256 KiB at most in all.
    #[schemars(default, schema_with = "label::annotations_schema")]
    pub annotations: BTreeMap<String, String>,
    /// What it calls.
    #[schemars(default, schema_with = "dependency::list_schema")]
    pub dependencies: Vec<Dependency>,
    /// Seconds between heartbeats.
    #[schemars(default = "default_health_interval", range(min = HEALTH_INTERVAL_RANGE.0, max = HEALTH_INTERVAL_RANGE.1))]
    pub health_interval: f64,
    /// Seconds of silence until `degraded`; chosen by the registry when absent.
    #[schemars(range(min = HEALTH_INTERVAL_RANGE.0, max = MAX_THRESHOLD))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_threshold: Option<f64>,
    /// Seconds of silence until `expired`; chosen by the registry when absent. Not below `timeout_threshold`.
    #[schemars(range(min = HEALTH_INTERVAL_RANGE.0, max = MAX_THRESHOLD))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction_threshold: Option<f64>,
    /// Stored and returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Value>,
    /// Stored and returned.
    #[schemars(default)]
    pub config: Map<String, Value>,
    /// Share of the load among equals; 0 takes the agent out.
    #[schemars(default = "default_weight", range(min = 0.0, max = MAX_WEIGHT))]
    pub weight: f64,
    /// Stored and returned; heartbeats add to it. Last, because it is what changes in answers.
    #[schemars(default)]
    pub metadata: Map<String, Value>,
}

/// What the registry knows about an agent: its registration and what the registry added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// What the agent said.
    #[serde(flatten)]
    pub registration: Registration,
    /// Derived from heartbeats.
    pub status: Status,
    /// When it was last heard; null before the first heartbeat.
    #[schemars(schema_with = "schema::timestamp_or_null")]
    pub last_heartbeat: Option<Timestamp>,
    /// When this id first registered.
    #[schemars(schema_with = "schema::timestamp")]
    pub created_at: Timestamp,
    /// When the registration last changed.
    #[schemars(schema_with = "schema::timestamp")]
    pub updated_at: Timestamp,
    /// Grows with every change of this record.
    pub resource_version: u64,
    /// Grows when the id registers again after a gap.
    pub incarnation: u64,
    /// Who registered it, when the registry knows.
    pub owner: Option<String>,
    /// How well it fits a fuzzy query, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// Always `success`.
    #[schemars(schema_with = "schema::success")]
    pub status: crate::error::Outcome,
    /// The agent that is registered now.
    pub agent_id: String,
    /// Version of its record.
    pub resource_version: u64,
    /// The same in a sentence.
    pub message: String,
    /// Keys that were accepted but mean nothing.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The answer to a deregistration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unregistered {
    /// Always `success`.
    #[schemars(schema_with = "schema::success")]
    pub status: crate::error::Outcome,
    /// The agent that is gone now.
    pub agent_id: String,
    /// Version of the removal.
    pub resource_version: u64,
    /// The same in a sentence.
    pub message: String,
}

// === impl Registration ===

impl Registration {
    /// Reads a registration document and the warnings about keys that mean nothing.
    ///
    /// # Errors
    /// Every fault of the document.
    pub fn from_value(value: &Value) -> Result<(Self, Vec<String>), Vec<Fault>> {
        let mut findings = Findings::default();
        let registration = Fields::open(value, "", &mut findings).map(|mut fields| {
            let registration = Self::read(&mut fields);
            fields.close();
            registration
        });
        let (registration, unknown) = findings.conclude(registration)?;
        Ok((registration, unknown.iter().map(document::UnknownKey::warning).collect()))
    }

    /// Reads the registration's keys from an object that may have more. The result is meaningless after a fault.
    pub fn read(fields: &mut Fields<'_, '_>) -> Self {
        let id = fields.required("id", word(ID_RULE, is_id)).unwrap_or_default();
        let endpoint = fields.required("endpoint", endpoint::read).unwrap_or_default();
        let dependencies = fields.list("dependencies", dependency::MAX_DEPENDENCIES, Dependency::read);
        let capabilities = fields.list("capabilities", MAX_CAPABILITIES, capability::reader());
        Self::read_rest(fields, id, endpoint, capabilities, dependencies)
    }

    /// Reads all keys but those that a manifest reads in its own way and passes here.
    pub fn read_rest(
        fields: &mut Fields<'_, '_>,
        id: String,
        endpoint: String,
        capabilities: Vec<Capability>,
        dependencies: Vec<Dependency>,
    ) -> Self {
        let (shortest, longest) = HEALTH_INTERVAL_RANGE;
        let threshold = || number(shortest, MAX_THRESHOLD, "seconds");
        let word_of = |default: &str| default.to_owned();
        let registration = Self {
            name: fields.optional("name", text(1, MAX_ID)).unwrap_or_else(|| id.clone()),
            namespace: fields
                .optional(
                    "namespace",
                    word("a DNS label: lower-case letters, digits and '-', 63 at most", label::is_dns_label),
                )
                .unwrap_or_else(|| word_of(DEFAULT_NAMESPACE)),
            agent_type: fields
                .optional(
                    "agent_type",
                    word("lower-case letters, digits, '_' and '-', 63 at most", is_agent_type),
                )
                .unwrap_or_else(|| word_of("default")),
            capabilities,
            labels: fields.nested("labels", label::read_labels).unwrap_or_default(),
            annotations: fields.nested("annotations", label::read_annotations).unwrap_or_default(),
            dependencies,
            health_interval: fields
                .optional("health_interval", number(shortest, longest, "seconds"))
                .unwrap_or(DEFAULT_HEALTH_INTERVAL),
            timeout_threshold: fields.optional("timeout_threshold", threshold()),
            eviction_threshold: fields.optional("eviction_threshold", threshold()),
            security_context: fields.optional("security_context", document::any),
            config: fields.optional("config", document::object).unwrap_or_default(),
            metadata: fields.optional("metadata", document::object).unwrap_or_default(),
            weight: fields.optional("weight", number(0.0, MAX_WEIGHT, "")).unwrap_or(DEFAULT_WEIGHT),
            id,
            endpoint,
        };
        registration.check_whole(fields);
        registration
    }

    /// Faults that show only when several fields are seen together.
    fn check_whole(&self, fields: &mut Fields<'_, '_>) {
        if self.labels.len() > MAX_LABELS {
            fields.fault(
                "labels",
                format!("must have at most {MAX_LABELS} entries, got {}", self.labels.len()),
            );
        }
        if let (Some(timeout), Some(eviction)) = (self.timeout_threshold, self.eviction_threshold)
            && timeout > eviction
        {
            fields.fault(
                "eviction_threshold",
                format!("must not be below timeout_threshold ({timeout}), got {eviction}"),
            );
        }
    }
}

fn default_word() -> String {
    DEFAULT_NAMESPACE.to_owned()
}

const fn default_health_interval() -> f64 {
    DEFAULT_HEALTH_INTERVAL
}

const fn default_weight() -> f64 {
    DEFAULT_WEIGHT
}

/// Whether `id` may be the id of an agent.
///
/// What stands for a folder in a path cannot be asked for: every client takes it out of the URL.
pub fn is_id(id: &str) -> bool {
    !matches!(id, "." | "..")
        && (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-'))
}

/// The rule for agent ids, for error messages.
pub const ID_RULE: &str = "1 to 253 letters, digits, '.', '_', ':' or '-', and not '.' or '..'";
/// The rule for agent ids, as a regular expression.
pub const ID_PATTERN: &str = r"^(\.{0,2}[A-Za-z0-9_:-]|\.\.\.)[A-Za-z0-9._:-]*$";
/// What [`is_agent_type`] demands, as a regular expression.
const AGENT_TYPE_PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";

fn is_agent_type(text: &str) -> bool {
    (1..=label::MAX_NAME).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smallest_document_gets_its_defaults() {
        let (agent, warnings) =
            Registration::from_value(&json!({"id": "a", "endpoint": "http://h:1/mcp"})).unwrap();
        assert_eq!(
            (agent.name.as_str(), agent.namespace.as_str(), agent.agent_type.as_str()),
            ("a", "default", "default")
        );
        assert_eq!((agent.health_interval, agent.weight), (30.0, 1.0));
        assert!(warnings.is_empty());
    }

    #[test]
    fn an_id_that_no_url_can_carry_is_refused() {
        let is_read = |id| Registration::from_value(&json!({"id": id, "endpoint": "http://h:1/"})).is_ok();
        assert_eq!(
            ["...", "..a", ".a", "a..", ".", ".."].map(is_read),
            [true, true, true, true, false, false]
        );
    }

    #[test]
    fn an_unknown_key_is_a_warning_with_the_key_that_was_meant() {
        let document = json!({"id": "a", "endpoint": "http://h:1/", "labelz": {}, "capabilities": [{"name": "x", "catgory": "y"}]});
        let (_, warnings) = Registration::from_value(&document).unwrap();
        assert!(
            warnings.iter().any(|warning| warning.contains("'labelz'") && warning.contains("'labels'")),
            "{warnings:?}"
        );
        assert!(
            warnings.iter().any(
                |warning| warning.contains("'capabilities[0].catgory'") && warning.contains("'category'")
            )
        );
    }

    #[test]
    fn every_fault_of_a_bad_document_is_listed() {
        let faults = Registration::from_value(&json!({
            "id": "a b", "namespace": "Prod", "endpoint": "ftp://x", "health_interval": 0, "labels": {"k": 1, "-": "v"},
            "capabilities": [{"name": "x"}, {"name": "x"}, 7], "dependencies": [{"version_constraint": "huh"}],
            "timeout_threshold": 20, "eviction_threshold": 10, "weight": -1
        }))
        .unwrap_err();
        let paths = faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>();
        for path in [
            "id",
            "namespace",
            "endpoint",
            "health_interval",
            "labels.k",
            "labels.-",
            "capabilities[1]",
            "capabilities[2]",
            "dependencies[0].capability",
            "dependencies[0].version_constraint",
            "eviction_threshold",
            "weight",
        ] {
            assert!(paths.contains(&path), "{path} in {paths:?}");
        }
    }

    #[test]
    fn a_document_that_is_no_object_is_refused_in_words() {
        assert_eq!(
            Registration::from_value(&json!([1])).unwrap_err()[0].to_string(),
            "must be an object, got a list"
        );
    }

    proptest! {
        #[test]
        fn what_was_read_is_read_again_the_same(id in "[a-z0-9:._-]{0,19}[a-z0-9:_-]", interval in 0.1f64..3600.0, weight in 0.0f64..10.0) {
            let document = json!({"id": id, "endpoint": "http://h:1/", "health_interval": interval, "weight": weight});
            let (agent, _) = Registration::from_value(&document).unwrap();
            let written = serde_json::to_string(&agent).unwrap();
            let written = serde_json::from_str::<Value>(&written).unwrap();
            prop_assert_eq!(Registration::from_value(&written).unwrap().0, agent);
        }
    }
}
