//! What an agent calls: the name of a capability, or an object that says which ones of that name will do.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability;
use crate::document::{Fields, Findings, boolean, parsed, word};
use crate::selector::Selector;
use crate::version::VersionConstraint;

/// Most dependencies of one agent.
pub const MAX_DEPENDENCIES: usize = 1_000;

/// Something that an agent calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dependency {
    /// Name of the capability.
    #[schemars(extend("pattern" = capability::NAME_PATTERN))]
    pub capability: String,
    /// Versions that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_constraint: Option<VersionConstraint>,
    /// Labels that the provider must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<Selector>,
    /// Whether the agent is of no use without it.
    #[serde(default)]
    pub required: bool,
}

/// A list of dependencies: in a document the name of a capability will do for each.
pub(crate) fn list_schema(generator: &mut SchemaGenerator) -> Schema {
    let whole = generator.subschema_for::<Dependency>();
    let items = if generator.contract().is_deserialize() {
        json_schema!({"anyOf": [{"type": "string", "pattern": capability::NAME_PATTERN}, whole]})
    } else {
        whole
    };
    json_schema!({"type": "array", "items": items, "maxItems": MAX_DEPENDENCIES})
}

// === impl Dependency ===

impl Dependency {
    /// Reads a dependency: the name of a capability, or an object that says more.
    pub fn read(value: &Value, at: &str, findings: &mut Findings) -> Option<Self> {
        if value.is_string() {
            return Self::read_name(value, at, findings);
        }
        let mut fields = Fields::open(value, at, findings)?;
        let dependency = Self::read_fields(&mut fields);
        fields.close();
        Some(dependency)
    }

    /// Reads a dependency that is no more than the name of a capability.
    pub fn read_name(value: &Value, at: &str, findings: &mut Findings) -> Option<Self> {
        let name = word(capability::NAME_RULE, capability::is_name);
        let capability = name(value).map_err(|fault| findings.fault(at, fault)).ok()?;
        Some(Self { capability, version_constraint: None, label_selector: None, required: false })
    }

    /// Reads a dependency's keys from an object that may have more. The result is meaningless after a fault.
    pub fn read_fields(fields: &mut Fields<'_, '_>) -> Self {
        let name = word(capability::NAME_RULE, capability::is_name);
        Self {
            capability: fields.required("capability", name).unwrap_or_default(),
            version_constraint: fields.optional("version_constraint", parsed),
            label_selector: fields.optional("label_selector", parsed),
            required: fields.optional("required", boolean).unwrap_or_default(),
        }
    }
}
