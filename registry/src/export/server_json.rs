//! The entry of an MCP server as the official MCP registry has it: `server.json`, schema 2025-12-11.
//!
//! Source: <https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json>.

use mesh_api::agent::Registration;
use schemars::JsonSchema;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::essence::Essence;
use super::wording::{description, one_line, shortened, version};

/// The schema that the document keeps to.
const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
/// What is a name, as a regular expression: a reversed domain, one slash, a word.
const NAME_PATTERN: &str = "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$";
/// Longest name, in characters.
const MAX_NAME: usize = 200;
/// Longest title and longest description, in characters.
const MAX_TEXT: usize = 100;
/// The domain of all agents, reversed. Nobody can own it, so a name is of this mesh alone until it is published under a
/// domain of one's own.
const DOMAIN: &str = "local.mesh";

/// An agent as an entry of the official MCP registry.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ServerJson {
    /// The schema it keeps to.
    #[serde(rename = "$schema")]
    pub schema: &'static str,
    /// `local.mesh.{namespace}/{id}`. An id that cannot stand there as it is ends in eight characters that tell it from
    /// others.
    #[schemars(length(min = 3, max = MAX_NAME), extend("pattern" = NAME_PATTERN))]
    pub name: String,
    /// The agent's name, shortened.
    #[schemars(length(min = 1, max = MAX_TEXT))]
    pub title: String,
    /// The annotation `description`, or what follows from the capabilities; shortened at a word.
    #[schemars(length(min = 1, max = MAX_TEXT))]
    pub description: String,
    /// The annotation `version`, or the highest version of a capability.
    pub version: String,
    /// Where it is called. Absent for agents that are not called over HTTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<Remote>,
    /// What the registry knows beside.
    #[serde(rename = "_meta")]
    pub meta: Meta,
}

/// An MCP server that is called over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Remote {
    /// Always `streamable-http`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The endpoint.
    pub url: String,
}

/// What stands under `_meta`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Meta {
    /// The registration, from which `mesh-sidecar init` starts a manifest.
    #[serde(rename = "local.mesh/agent")]
    pub agent: Essence,
}

impl ServerJson {
    /// The entry of an agent.
    pub fn of(registration: &Registration) -> Self {
        let remote = |url: &String| Remote { kind: "streamable-http", url: url.clone() };
        let remotes = Some(&registration.endpoint).filter(|url| is_http(url)).map(remote);
        let title = Some(one_line(&registration.name)).filter(|title| !title.is_empty());
        Self {
            schema: SCHEMA,
            name: name(registration),
            title: shortened(&title.unwrap_or_else(|| registration.id.clone()), MAX_TEXT),
            description: shortened(&one_line(&description(registration)), MAX_TEXT),
            version: version(registration),
            remotes: remotes.into_iter().collect(),
            meta: Meta { agent: Essence::of(registration) },
        }
    }
}

fn name(registration: &Registration) -> String {
    let domain = format!("{DOMAIN}.{}/", registration.namespace);
    let id = &registration.id;
    let room = MAX_NAME - domain.len();
    let plain = id.replace(':', "-");
    if plain == *id && id.len() <= room {
        return domain + id;
    }
    let mark = format!("-{:08x}", xxh3_64(id.as_bytes()) as u32);
    // An id is ASCII, so every byte is a character.
    format!("{domain}{}{mark}", &plain[..plain.len().min(room - mark.len())])
}

fn is_http(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}
