//! A card becomes the draft of a manifest.
//!
//! Which card it is, it says in `$schema`, or its keys do. What is wrong with it is reported at once.

mod agent;
mod server;

mod sketch;

use mesh_api::agent::Registration;
use mesh_api::document::{Fields, Findings};
use serde_json::Value;

use super::draft::Draft;
use super::fault::InitError;
use super::source::Source;

/// The cards that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ServerJson,
    ServerCard,
    AgentCard,
}

/// The draft that `json` makes, which comes from `source`.
///
/// # Errors
/// When it is none of the cards that are known, or has faults.
pub(super) fn draft(json: &[u8], source: &Source) -> Result<Draft, InitError> {
    let from = source.name();
    let not_json = |source| InitError::NotJson { from: from.clone(), source };
    let document = serde_json::from_slice::<Value>(json).map_err(not_json)?;
    let card = card_in(&document);
    let kind = Kind::of(card).ok_or_else(|| InitError::Unknown { from: from.clone() })?;
    let faulty = |faults| InitError::Faulty { kind: kind.as_str(), from: from.clone(), faults };
    let mut findings = Findings::default();
    let sketch = Fields::open(card, "", &mut findings).map(|mut fields| match kind {
        Kind::ServerJson | Kind::ServerCard => server::read(&mut fields),
        Kind::AgentCard => agent::read(&mut fields),
    });
    let (sketch, _) = findings.conclude(sketch).map_err(faulty)?;
    let (registration, _) = Registration::from_value(&sketch.document).map_err(faulty)?;
    Ok(Draft {
        origin: format!(", started from the {} of {from}", kind.as_str()),
        registration,
        endpoint: sketch.endpoint,
        can_be_asked: !matches!(kind, Kind::AgentCard),
    })
}

/// The official registry's API wraps a `server.json` in what it knows itself.
fn card_in(document: &Value) -> &Value {
    document
        .get("server")
        .filter(|server| server.is_object() && document.get("name").is_none())
        .unwrap_or(document)
}

impl Kind {
    fn of(card: &Value) -> Option<Self> {
        let schema = card["$schema"].as_str().unwrap_or_default();
        let is_server_name = |name: &str| name.split('/').count() == 2;
        if schema.contains("/server-card") {
            Some(Self::ServerCard)
        } else if schema.ends_with("/server.schema.json") {
            Some(Self::ServerJson)
        } else if card.get("supportedInterfaces").is_some() || card.get("skills").is_some() {
            Some(Self::AgentCard)
        } else {
            card["name"].as_str().filter(|name| is_server_name(name)).map(|_| Self::ServerJson)
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::ServerJson => "server.json",
            Self::ServerCard => "MCP server card",
            Self::AgentCard => "A2A agent card",
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_daemon::settings::Problems;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::manifest::{self, Manifest};

    fn imported(card: &Value) -> Result<Draft, InitError> {
        let source = Source::read(&json!("http://h/card.json")).unwrap();
        draft(card.to_string().as_bytes(), &source)
    }

    /// What the sidecar makes of a manifest, on a host where every variable is set.
    fn read(text: &str) -> Result<Manifest, Problems> {
        manifest::parse(text, "m.yaml", |name| (!name.is_empty()).then(|| "SECRET".to_owned()))
    }

    fn registered(card: &Value) -> Registration {
        let text = imported(card).unwrap_or_else(|fault| panic!("{fault}: {card}")).to_string();
        read(&text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}")).registration
    }

    fn notes(registration: &Registration) -> Value {
        json!(registration.annotations)
    }

    #[test]
    fn a_server_json_tells_who_it_is_and_where() {
        let entry = json!({
            "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
            "name": "io.github.someone/weather-server", "title": "Weather", "description": "Tells the weather.", "version": "1.0.2",
            "packages": [{"registryType": "npm", "identifier": "x", "transport": {"type": "stdio"}}],
            "remotes": [{"type": "sse", "url": "https://h/sse"}, {"type": "streamable-http", "url": "https://{tenant}.h/mcp"},
                        {"type": "streamable-http", "url": "https://h.example/mcp", "headers": [{"name": "X"}]}],
        });
        for card in [
            entry.clone(),
            json!({"server": entry, "_meta": {"io.modelcontextprotocol.registry/official": {}}}),
        ] {
            let agent = registered(&card);
            assert_eq!((agent.id.as_str(), agent.name.as_str()), ("weather-server", "Weather"));
            assert_eq!(agent.endpoint, "https://h.example/mcp");
            assert_eq!(notes(&agent), json!({"description": "Tells the weather.", "version": "1.0.2"}));
        }
        let plain = registered(&json!({"name": "a.b/c", "description": "d", "version": "1"}));
        assert_eq!((plain.id.as_str(), plain.name.as_str()), ("c", "c"));
    }

    #[test]
    fn a_server_without_a_usable_remote_gets_an_example_and_is_told_so() {
        let card =
            |remotes: Value| json!({"name": "a.b/c", "description": "d", "version": "1", "remotes": remotes});
        for (remotes, said) in [
            (json!([]), "it has no remote"),
            (json!([{"type": "sse", "url": "https://h/"}]), "no remote of the"),
            (json!([{"type": "streamable-http", "url": "https://{x}/mcp"}]), "no remote of the"),
            (json!([{"type": "streamable-http", "url": "http://u:p@h/mcp"}]), "no remote of the"),
            (json!([{"type": "streamable-http", "url": "file:///etc/passwd"}]), "no remote of the"),
        ] {
            let draft = imported(&card(remotes.clone())).unwrap();
            assert_eq!(draft.registration.endpoint, "http://127.0.0.1:8001/mcp", "{remotes}");
            assert!(draft.to_string().contains(said), "{draft}");
        }
    }

    #[test]
    fn a_server_card_is_a_server_without_packages() {
        for version in ["v1", "v2"] {
            let schema =
                format!("https://static.modelcontextprotocol.io/schemas/{version}/server-card.schema.json");
            let card = json!({"$schema": schema, "name": "a.b/c", "description": "d", "version": "1",
                "remotes": [{"type": "streamable-http", "url": "http://h/mcp", "supportedProtocolVersions": ["2026-07-28"]}]});
            assert_eq!(registered(&card).endpoint, "http://h/mcp");
            assert!(imported(&card).unwrap().to_string().contains("the MCP server card of"));
        }
    }

    #[test]
    fn an_agent_card_tells_its_skills_and_where_it_speaks_a2a() {
        let card = json!({
            "name": "Recipe Agent", "description": "Cooks.", "version": "1.2.0", "capabilities": {"streaming": true},
            "supportedInterfaces": [
                {"url": "grpc://h:1", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                {"url": "https://h/a2a", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
            ],
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
            "skills": [
                {"id": "find recipe", "name": "Find", "description": "Finds.", "tags": ["food"], "examples": ["x"]},
                {"id": "find_recipe", "name": "Again", "description": "The same.", "tags": []},
                {"id": "...", "name": "Nothing", "description": "No name.", "tags": []},
            ],
        });
        let agent = registered(&card);
        assert_eq!((agent.id.as_str(), agent.name.as_str()), ("recipe-agent", "Recipe Agent"));
        assert_eq!(agent.endpoint, "https://h/a2a");
        let expected = json!({"description": "Cooks.", "version": "1.2.0", "a2a-endpoint": "https://h/a2a", "a2a-binding": "HTTP+JSON"});
        assert_eq!(notes(&agent), expected);
        let [find] = &agent.capabilities[..] else { panic!("{:?}", agent.capabilities) };
        assert_eq!((find.name.as_str(), find.version.to_string().as_str()), ("find_recipe", "1.2.0"));
        assert_eq!(
            (find.annotations.title.as_deref(), &find.tags[..]),
            (Some("Find"), &["food".to_owned()][..])
        );
    }

    #[test]
    fn an_agent_card_of_before_has_one_url() {
        let card = json!({
            "name": "a", "description": "d", "url": "https://h/a2a", "version": "one", "protocolVersion": "0.3.0",
            "preferredTransport": "JSONRPC", "skills": [{"id": "x", "name": "x", "description": "d", "tags": []}],
        });
        let agent = registered(&card);
        assert_eq!(notes(&agent)["a2a-version"], "0.3.0");
        assert_eq!(
            (agent.endpoint.as_str(), agent.capabilities[0].version.to_string()),
            ("https://h/a2a", "1.0.0".to_owned())
        );
    }

    #[test]
    fn the_registration_in_a_card_of_ours_is_taken_as_it_is_but_for_schemas() {
        let ours = json!({
            "id": "a", "name": "A", "namespace": "prod", "agent_type": "worker", "labels": {"zone": "x"}, "endpoint": "http://h:1/mcp",
            "annotations": {"version": "3"}, "weight": 7, "dependencies": ["other"],
            "capabilities": [{"name": "x", "version": "2.0.0", "input_schema": {"type": "object"}, "annotations": {"readOnlyHint": true}}],
        });
        let interface =
            json!({"url": "https://h/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"});
        for card in [
            json!({"name": "x.y/z", "version": "9", "remotes": [{"type": "streamable-http", "url": "http://h:1/mcp"}], "_meta": {"local.mesh/agent": ours}}),
            json!({"name": "z", "version": "9", "supportedInterfaces": [interface],
                "capabilities": {"extensions": [{"uri": "urn:other"}, {"uri": "urn:mcp-mesh:agent", "params": ours}]}}),
        ] {
            let agent = registered(&card);
            assert_eq!(
                (agent.id.as_str(), agent.namespace.as_str(), agent.agent_type.as_str()),
                ("a", "prod", "worker")
            );
            assert_eq!((agent.endpoint.as_str(), notes(&agent)), ("http://h:1/mcp", json!({"version": "3"})));
            assert_eq!(
                (agent.labels["zone"].as_str(), agent.weight, agent.dependencies.len()),
                ("x", 1.0, 0)
            );
            let capability = &agent.capabilities[0];
            assert!(capability.input_schema.is_none() && capability.annotations.read_only_hint == Some(true));
        }
    }

    #[test]
    fn every_fault_of_a_card_is_told_with_its_place() {
        let fault = imported(&json!({"name": "a.b/c", "title": 7, "remotes": [{"url": 1}], "version": []}))
            .unwrap_err()
            .to_string();
        for part in [
            "'title' must be a string",
            "'remotes[0].type' field is required",
            "'version' must be a string",
            "server.json",
        ] {
            assert!(fault.contains(part), "{part} in {fault}");
        }
        let ours =
            json!({"name": "a.b/c", "_meta": {"local.mesh/agent": {"id": "a b", "labels": {"-": "x"}}}});
        let fault = imported(&ours).unwrap_err().to_string();
        assert!(fault.contains("'id' must be") && fault.contains("'labels.-'"), "{fault}");
    }

    #[test]
    fn what_is_no_card_is_told_what_is_one() {
        for other in [
            json!({}),
            json!([]),
            json!(1),
            json!({"name": "x"}),
            json!({"name": "a/b/c"}),
            json!({"server": {"x": 1}}),
        ] {
            let fault = imported(&other).unwrap_err().to_string();
            assert!(
                fault.contains("server.json") && fault.contains("supportedInterfaces"),
                "{other}: {fault}"
            );
        }
        let source = Source::read(&json!("x")).unwrap();
        for text in ["", "<html>", "{\"a\":", &"[".repeat(100_000)] {
            assert!(matches!(draft(text.as_bytes(), &source), Err(InitError::NotJson { .. })));
        }
    }

    /// Texts that would like to be more than texts.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => proptest::sample::select(vec![
                "\"", "\\", "\n", "\r\n", "\nid: evil\n", ": ", " #", "#", "- ", "---\n", "...\n", "&a ", "*a", "!!str ", "%YAML", "${", "}",
                "${PATH}", "${HOME:-x}", "$${", "|", ">", "'", "{", "[", ",", "\t", "\u{85}", "\u{2028}", "\u{feff}", "\u{0}", "null", "~", " ",
            ]).prop_map(str::to_owned),
            1 => any::<char>().prop_map(|c| c.to_string()),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn a_text_of_a_card_stays_a_text(title in hostile(), description in hostile(), version in hostile(), id in hostile(), tag in hostile()) {
            let server = json!({"name": format!("a.b/{}", id.replace('/', "")), "title": title, "description": description, "version": version});
            let agent = registered(&server);
            let said = |key: &str| agent.annotations.get(key).cloned().unwrap_or_default();
            prop_assert_eq!((said("description"), said("version")), (description.clone(), version.clone()));
            if !title.is_empty() {
                prop_assert_eq!(&agent.name, &title);
            }
            let skill = json!({"id": format!("x{id}"), "name": title, "description": description, "tags": [tag]});
            let card = json!({"name": format!("n{title}"), "version": version, "supportedInterfaces": [], "skills": [skill]});
            match imported(&card) {
                Ok(_) => {
                    let agent = registered(&card);
                    prop_assert_eq!(agent.capabilities[0].description.as_ref(), Some(&description));
                    prop_assert_eq!(&agent.capabilities[0].tags, &[tag]);
                }
                Err(fault) => prop_assert!(tag.is_empty(), "{}", fault),
            }
        }
    }
}
