//! A `server.json` of the official MCP registry, or an MCP server card, which is the same without packages.

use mesh_api::card;
use mesh_api::document::{Fields, Findings, string, text};
use serde_json::Value;

use super::sketch::{Said, Sketch, is_callable};
use crate::init::draft::PLACEHOLDER;

/// Longest name, in characters: the schema allows 200.
const MAX_NAME: usize = 1_000;
/// Most remotes that are looked at; real servers have one or two.
const MAX_REMOTES: usize = 100;

const AS_TOLD: &str = "Where this agent listens, as its sidecar reaches it: the card's remote. If it has an address on this host\n\
                       that is nearer, write that one here and the remote below 'advertise'.";
const NOT_TOLD: &str = "Where this agent listens, as its sidecar reaches it. The card does not say, so this is only an example:\n\
                        it has no remote of streamable HTTP.";
const NOT_USABLE: &str = "Where this agent listens, as its sidecar reaches it. This is only an example, because no remote of the\n\
                          card will do: the mesh speaks streamable HTTP, at an http: or https: URL without variables.";

/// A server that is called over HTTP.
struct Remote {
    kind: String,
    url: String,
}

/// Reads the card. The result is meaningless after a fault.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Sketch {
    let name = fields.required("name", text(1, MAX_NAME)).unwrap_or_default();
    let remotes = fields.list("remotes", MAX_REMOTES, Remote::read);
    let said = Said {
        // What stands before the slash is the publisher.
        name: name.rsplit('/').next().unwrap_or_default().to_owned(),
        title: fields.optional("title", string),
        description: fields.optional("description", string),
        version: fields.optional("version", string),
        ours: fields.nested("_meta", |meta, _, _| meta.get(card::META).cloned()),
        ..Said::default()
    };
    match remotes.iter().find(|remote| remote.kind == "streamable-http" && is_callable(&remote.url)) {
        Some(remote) => said.sketch(&remote.url, AS_TOLD),
        None => said.sketch(PLACEHOLDER, if remotes.is_empty() { NOT_TOLD } else { NOT_USABLE }),
    }
}

impl Remote {
    fn read(value: &Value, at: &str, findings: &mut Findings) -> Option<Self> {
        let mut fields = Fields::open(value, at, findings)?;
        Some(Self { kind: fields.required("type", string)?, url: fields.required("url", string)? })
    }
}
