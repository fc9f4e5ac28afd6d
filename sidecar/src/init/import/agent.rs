//! An A2A agent card: of release 1.0, with `supportedInterfaces`, or of the releases before, with one `url`.

use mesh_api::capability::{self, Capability};
use mesh_api::card;
use mesh_api::document::{Fields, Findings, string, text};
use mesh_api::version::parse_version;
use serde_json::{Value, json};

use super::sketch::{Said, Sketch, is_callable};
use crate::init::draft::PLACEHOLDER;

/// Longest name, in characters.
const MAX_NAME: usize = 1_000;
/// Most interfaces, skills and extensions that are looked at.
const MAX_ITEMS: usize = 1_000;
/// What an interface speaks when the manifest says nothing.
const DEFAULT_INTERFACE: (&str, &str) = ("JSONRPC", "1.0");

const OF_MESH: &str = "Where this agent listens, as its sidecar reaches it.";
const OF_A2A: &str = "Where this agent listens, as its sidecar reaches it. The card says where it speaks A2A; if it is an MCP server\n\
                      as well, write that address here. Peers call tools by MCP with /call, and anything else with /proxy.";
const NOT_TOLD: &str = "Where this agent listens, as its sidecar reaches it. The card names no http: or https: URL, so this is only\n\
                        an example.";

/// Where and how A2A is spoken.
struct Interface {
    url: String,
    binding: String,
    version: String,
}

/// Reads the card. The result is meaningless after a fault.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Sketch {
    let name = fields.required("name", text(1, MAX_NAME)).unwrap_or_default();
    let version = fields.optional("version", string);
    let interfaces = fields.list("supportedInterfaces", MAX_ITEMS, Interface::read);
    let older = Interface::older(fields);
    let interface = interfaces.into_iter().chain(older).find(|interface| is_callable(&interface.url));
    let skills = fields
        .list("skills", MAX_ITEMS, |value, at, findings| skill(value, at, findings, version.as_deref()));
    let said = Said {
        title: Some(name.clone()),
        name,
        description: fields.optional("description", string),
        version,
        notes: interface.as_ref().map(Interface::notes).unwrap_or_default(),
        capabilities: distinct(skills),
        ours: fields.nested("capabilities", ours),
    };
    let of_mesh = said.ours.as_ref().and_then(|ours| ours["endpoint"].as_str()).map(str::to_owned);
    match (of_mesh.filter(|url| is_callable(url)), interface) {
        (Some(url), _) => said.sketch(&url, OF_MESH),
        (None, Some(interface)) => said.sketch(&interface.url, OF_A2A),
        (None, None) => said.sketch(PLACEHOLDER, NOT_TOLD),
    }
}

/// The registration, if a registry of ours wrote the card.
fn ours(value: &Value, at: &str, findings: &mut Findings) -> Option<Value> {
    let mut fields = Fields::open(value, at, findings)?;
    let extensions = fields.list("extensions", MAX_ITEMS, |value, _, _| Some(value.clone()));
    extensions.into_iter().find(|extension| extension["uri"] == card::EXTENSION)?.get("params").cloned()
}

impl Interface {
    fn read(value: &Value, at: &str, findings: &mut Findings) -> Option<Self> {
        let mut fields = Fields::open(value, at, findings)?;
        Some(Self {
            url: fields.required("url", string)?,
            binding: fields.required("protocolBinding", string)?,
            version: fields.required("protocolVersion", string)?,
        })
    }

    /// That of a card from before release 1.0.
    fn older(fields: &mut Fields<'_, '_>) -> Option<Self> {
        Some(Self {
            url: fields.optional("url", string)?,
            binding: fields
                .optional("preferredTransport", string)
                .unwrap_or_else(|| DEFAULT_INTERFACE.0.to_owned()),
            version: fields.optional("protocolVersion", string).unwrap_or_else(|| "0.3".to_owned()),
        })
    }

    fn notes(&self) -> Vec<(&'static str, String)> {
        let (binding, version) = DEFAULT_INTERFACE;
        let mut notes = vec![(card::A2A_ENDPOINT, self.url.clone())];
        notes.extend((self.binding != binding).then(|| (card::A2A_BINDING, self.binding.clone())));
        notes.extend((self.version != version).then(|| (card::A2A_VERSION, self.version.clone())));
        notes
    }
}

/// A skill as a capability: with the card's version, if that is one that can be compared.
fn skill(value: &Value, at: &str, findings: &mut Findings, version: Option<&str>) -> Option<Value> {
    let mut fields = Fields::open(value, at, findings)?;
    let id = fields.required("id", string)?;
    let name = capability_name(&id)?;
    let title = fields.optional("name", string).filter(|title| *title != id && !title.is_empty());
    let tags = fields.list("tags", MAX_ITEMS, |tag, _, _| tag.as_str().map(str::to_owned));
    let capability = json!({
        "name": name,
        "version": version.filter(|version| parse_version(version).is_ok()),
        "description": fields.optional("description", string),
        "tags": tags,
        "annotations": title.map(|title| json!({"title": title})),
    });
    // What is too long or too much for a capability is a fault of the card like any other.
    Capability::read(&capability, at, findings).map(|_| capability)
}

/// The name of a capability that is nearest to the id of a skill: a skill's may be any text.
fn capability_name(id: &str) -> Option<String> {
    let name = id.replace(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'), "_");
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    let name = &name[..name.len().min(capability::MAX_NAME)];
    (!name.is_empty()).then(|| name.to_owned())
}

/// Without those whose names have become those of others.
fn distinct(skills: Vec<Value>) -> Vec<Value> {
    let mut names = std::collections::HashSet::new();
    skills.into_iter().filter(|skill| names.insert(skill["name"].to_string())).collect()
}
