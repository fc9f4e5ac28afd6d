//! The registration inside a document of others: what a manifest needs to be started from it, and no more.

use std::collections::BTreeMap;

use mesh_api::agent::Registration;
use mesh_api::capability::Capability;
use mesh_api::card;
use schemars::JsonSchema;
use serde::Serialize;

/// The part of a registration that its documents carry. Schemas are left out, which the agent itself tells, and so is
/// what is for the mesh alone: configuration, metadata, dependencies, and annotations that no card knows.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Essence {
    /// Unique in the mesh.
    pub id: String,
    /// For people.
    pub name: String,
    /// The namespace the agent lives in.
    pub namespace: String,
    /// Selects the default thresholds.
    pub agent_type: String,
    /// Where it is called, as MCP or, if it is no MCP server, through the sidecar.
    pub endpoint: String,
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// What its cards are told: `description`, `version`, `a2a-endpoint`, `a2a-binding`, `a2a-version`.
    pub annotations: BTreeMap<String, String>,
    /// What it can do, without schemas.
    pub capabilities: Vec<Capability>,
}

impl Essence {
    /// That of a registration.
    pub(super) fn of(registration: &Registration) -> Self {
        let without_schemas =
            |each: &Capability| Capability { input_schema: None, output_schema: None, ..each.clone() };
        let known = |(key, _): &(&String, &String)| card::ANNOTATIONS.contains(&key.as_str());
        let owned = |(key, text): (&String, &String)| (key.clone(), text.clone());
        Self {
            id: registration.id.clone(),
            name: registration.name.clone(),
            namespace: registration.namespace.clone(),
            agent_type: registration.agent_type.clone(),
            endpoint: registration.endpoint.clone(),
            labels: registration.labels.clone(),
            annotations: registration.annotations.iter().filter(known).map(owned).collect(),
            capabilities: registration.capabilities.iter().map(without_schemas).collect(),
        }
    }
}
