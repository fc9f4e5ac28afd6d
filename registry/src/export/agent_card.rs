//! An agent card of A2A, release 1.0.1.
//!
//! Source: `AgentCard` in <https://github.com/a2aproject/A2A/blob/main/specification/a2a.proto>, as JSON.
//!
//! A card tells clients where to speak A2A and is of no use without. An agent that only speaks MCP has none, because a
//! card that lists its endpoint would send them where nobody understands them, and one that lists nothing is no card.

use mesh_api::agent::Registration;
use mesh_api::capability::{Capability, Stability};
use mesh_api::{card, endpoint};
use schemars::JsonSchema;
use serde::Serialize;

use super::essence::Essence;
use super::wording::{description, version};

/// How A2A is spoken when the agent does not say, and in which version.
const DEFAULT_BINDING: &str = "JSONRPC";
const DEFAULT_VERSION: &str = "1.0";
/// What goes in and out. A registration does not say, and these are what its capabilities take and return.
const MODES: [&str; 2] = ["application/json", "text/plain"];

/// An agent as an A2A agent card.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCard {
    /// The agent's name.
    pub name: String,
    /// The annotation `description`, or what follows from the capabilities.
    pub description: String,
    /// The annotation `version`, or the highest version of a capability.
    pub version: String,
    /// Where it speaks A2A: the annotation `a2a-endpoint`.
    #[schemars(length(min = 1))]
    pub supported_interfaces: Vec<AgentInterface>,
    /// Only what is sure: the registration says nothing of streaming and notifications.
    pub capabilities: AgentCapabilities,
    /// Media types that it takes.
    pub default_input_modes: Vec<&'static str>,
    /// Media types that it returns.
    pub default_output_modes: Vec<&'static str>,
    /// What it can do: its capabilities.
    pub skills: Vec<AgentSkill>,
}

/// One way of speaking A2A to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentInterface {
    /// Where.
    pub url: String,
    /// `JSONRPC`, `HTTP+JSON`, `GRPC`, or the URI of another: the annotation `a2a-binding`.
    pub protocol_binding: String,
    /// The version of A2A: the annotation `a2a-version`.
    pub protocol_version: String,
}

/// What an A2A client may count on beside the skills.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AgentCapabilities {
    /// One: the registration.
    pub extensions: Vec<AgentExtension>,
}

/// What the registry knows beside.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AgentExtension {
    /// Names it.
    pub uri: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Whether clients must understand it: no.
    pub required: bool,
    /// The registration, from which `mesh-sidecar init` starts a manifest.
    pub params: Essence,
}

/// One thing the agent can do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AgentSkill {
    /// The name of the capability, with its version if there are several.
    pub id: String,
    /// Its title, or its name.
    pub name: String,
    /// What it does, or its name.
    pub description: String,
    /// Its tags, its category, and its stability unless it is stable.
    pub tags: Vec<String>,
}

/// The agent does not say where it speaks A2A, or nobody can reach it there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSpoken(String);

impl AgentCard {
    /// The card of an agent.
    ///
    /// # Errors
    /// When the agent does not say where it speaks A2A, or nobody can reach it there.
    pub fn of(registration: &Registration) -> Result<Self, NotSpoken> {
        let of_capability = |each| AgentSkill::of(each, &registration.capabilities);
        Ok(Self {
            name: registration.name.clone(),
            description: description(registration),
            version: version(registration),
            supported_interfaces: vec![AgentInterface::of(registration)?],
            capabilities: AgentCapabilities {
                extensions: vec![AgentExtension {
                    uri: card::EXTENSION,
                    description: "The agent as it is registered in its mesh",
                    required: false,
                    params: Essence::of(registration),
                }],
            },
            default_input_modes: MODES.to_vec(),
            default_output_modes: MODES.to_vec(),
            skills: registration.capabilities.iter().map(of_capability).collect(),
        })
    }
}

impl AgentInterface {
    fn of(registration: &Registration) -> Result<Self, NotSpoken> {
        let (id, key) = (&registration.id, card::A2A_ENDPOINT);
        let said =
            |key: &str| registration.annotations.get(key).filter(|text| !text.trim().is_empty()).cloned();
        let url = said(key).ok_or_else(|| {
            NotSpoken(format!(
                "agent {id} has no agent card, because it does not say that it speaks A2A: register it with the \
                 annotation '{key}', the URL at which it does"
            ))
        })?;
        let rule = if url.starts_with("stdio:") {
            Err("must be an http: or https: URL".to_owned())
        } else {
            endpoint::check(&url)
        };
        rule.map_err(|rule| {
            NotSpoken(format!("agent {id} has no agent card: its annotation '{key}' {rule}"))
        })?;
        Ok(Self {
            url,
            protocol_binding: said(card::A2A_BINDING).unwrap_or_else(|| DEFAULT_BINDING.to_owned()),
            protocol_version: said(card::A2A_VERSION).unwrap_or_else(|| DEFAULT_VERSION.to_owned()),
        })
    }
}

impl AgentSkill {
    fn of(capability: &Capability, all: &[Capability]) -> Self {
        let Capability { name, version, .. } = capability;
        let is_one_of_several = all.iter().filter(|other| other.name == *name).count() > 1;
        let stability = Some(capability.stability).filter(|stability| *stability != Stability::Stable);
        let stability = stability.map(|stability| format!("stability:{stability}"));
        let tags = capability.tags.iter().cloned().chain(capability.category.clone()).chain(stability);
        let told = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        Self {
            id: if is_one_of_several { format!("{name}@{version}") } else { name.clone() },
            name: told(&capability.annotations.title).unwrap_or_else(|| name.clone()),
            description: told(&capability.description).unwrap_or_else(|| name.clone()),
            tags: tags.collect(),
        }
    }
}
