//! The documents of others in which an agent can be shown and from which a manifest can be started: a `server.json` of
//! the official MCP registry, and an A2A agent card.
//!
//! Here is what the registry, which writes them, and the sidecar, which reads them, have in common: how they are asked
//! for, and under which names a registration's own words stand in them. A registration has no description, version or
//! A2A address of its own, because nothing in the mesh goes by them: they are annotations.

use std::fmt;
use std::str::FromStr;

use crate::document::quoted;
use crate::error::Fault;

/// The parameter of `GET /agents/{id}` that asks for one of the documents.
pub const FORMAT: &str = "format";

/// The annotation that says what the agent is for, in a sentence or two.
pub const DESCRIPTION: &str = "description";
/// The annotation that says which version of the agent it is.
pub const VERSION: &str = "version";
/// The annotation with the URL at which the agent speaks A2A.
pub const A2A_ENDPOINT: &str = "a2a-endpoint";
/// The annotation with the way in which it does: `JSONRPC` when absent, `HTTP+JSON`, `GRPC`, or the URI of another.
pub const A2A_BINDING: &str = "a2a-binding";
/// The annotation with the version of A2A that it speaks there: `1.0` when absent.
pub const A2A_VERSION: &str = "a2a-version";
/// All of them.
pub const ANNOTATIONS: [&str; 5] = [DESCRIPTION, VERSION, A2A_ENDPOINT, A2A_BINDING, A2A_VERSION];

/// The key below `_meta` of a `server.json` where the registration stands.
///
/// Prefixes whose second last label is `mcp` or `modelcontextprotocol` belong to the protocol
/// (MCP specification, "General fields: `_meta`").
pub const META: &str = "local.mesh/agent";
/// The extension of an A2A agent card with the registration for its parameters.
pub const EXTENSION: &str = "urn:mcp-mesh:agent";

/// A document in which an agent can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A `server.json` of the official MCP registry.
    ServerJson,
    /// An A2A agent card.
    AgentCard,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ServerJson, Self::AgentCard];

    /// Its name in a query.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerJson => "server.json",
            Self::AgentCard => "agent-card",
        }
    }

    /// The format that a query asks for, if it does. An empty one counts as none; other parameters are not looked at.
    ///
    /// # Errors
    /// When there is no such format, or several are asked for.
    pub fn of_query(query: &str) -> Result<Option<Self>, Fault> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut names = pairs.filter(|(key, value)| key == FORMAT && !value.is_empty()).map(|(_, name)| name);
        let Some(name) = names.next() else { return Ok(None) };
        if names.any(|other| other != name) {
            return Err(Fault::new(FORMAT, "is given more than once, with different values"));
        }
        name.parse().map(Some).map_err(|message: String| Fault::new(FORMAT, message))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(" or ");
            format!("must be {known}, or left out for the registration itself, got {}", quoted(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_one_format_or_for_none() {
        for (query, format) in [
            ("", None),
            ("format=", None),
            ("other=server.json", None),
            ("format=server.json", Some(Format::ServerJson)),
            ("x=1&format=agent%2Dcard&format=agent-card", Some(Format::AgentCard)),
        ] {
            assert_eq!(Format::of_query(query), Ok(format), "{query}");
        }
        assert!(Format::of_query("format=server.json&format=agent-card").is_err());
    }

    #[test]
    fn an_unknown_format_is_told_the_known_ones() {
        let fault = Format::of_query("format=xml").unwrap_err().to_string();
        assert!(Format::ALL.iter().all(|format| fault.contains(format.as_str())), "{fault}");
        assert!(fault.contains("\"xml\""), "{fault}");
    }

    #[test]
    fn our_key_is_not_in_a_prefix_of_the_protocol() {
        let (prefix, name) = META.split_once('/').unwrap();
        let labels = prefix.split('.').collect::<Vec<_>>();
        let second_last = labels[labels.len() - 2];
        assert!(!matches!(second_last, "mcp" | "modelcontextprotocol") && !name.is_empty());
    }
}
