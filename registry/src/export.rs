//! An agent in the documents of others: what its registration says, put in the words of the official MCP registry's
//! `server.json` or of an A2A agent card. Pure.
//!
//! The service asks; nothing here knows HTTP or the catalog. Neither document says anything that a registration does not
//! say: what is missing is derived from capabilities, or left out.

mod agent_card;
mod server_json;

mod essence;
mod wording;

use mesh_api::agent::Registration;
use mesh_api::card::Format;

pub use self::agent_card::{AgentCard, NotSpoken};
pub use self::server_json::ServerJson;

/// Why an agent is not shown in the format that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NotShown {
    /// It does not speak the protocol that the format is for.
    #[error(transparent)]
    NotSpoken(#[from] NotSpoken),
    /// What the store holds of it is no registration.
    #[error("what is stored of the agent is damaged: register it again")]
    Damaged(#[from] serde_json::Error),
}

/// The document of the agent whose registration is `stored` as JSON.
///
/// # Errors
/// When the agent does not speak the protocol that the format is for, or is no agent.
pub fn document(stored: &str, format: Format) -> Result<Vec<u8>, NotShown> {
    let registration = serde_json::from_str::<Registration>(stored)?;
    Ok(match format {
        Format::ServerJson => serde_json::to_vec(&ServerJson::of(&registration)),
        Format::AgentCard => serde_json::to_vec(&AgentCard::of(&registration)?),
    }?)
}

#[cfg(test)]
mod tests {
    use mesh_api::card;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn registered(document: &Value) -> Registration {
        Registration::from_value(document).unwrap_or_else(|faults| panic!("{faults:?}: {document}")).0
    }

    fn shown(registration: &Registration, format: Format) -> Result<Value, NotShown> {
        let stored = serde_json::to_string(registration).unwrap();
        document(&stored, format).map(|json| serde_json::from_slice(&json).unwrap())
    }

    /// Texts as nobody expects them.
    fn odd(max: usize) -> impl Strategy<Value = String> {
        let length = 0..=max;
        prop_oneof![
            proptest::collection::vec(any::<char>(), length.clone()),
            proptest::collection::vec(
                proptest::sample::select(vec!['a', ' ', '\n', '\u{1f600}', '\u{0}', '"']),
                length
            ),
        ]
        .prop_map(|chars| chars.into_iter().collect())
    }

    prop_compose! {
        fn registrations()(
            id in prop_oneof!["[A-Za-z0-9_:.-]{3,253}", "[a-z]{200,253}", "[a-z:]{3,9}"].prop_filter("an id", |id| mesh_api::agent::is_id(id)),
            name in odd(253).prop_filter("a name", |name| !name.is_empty()),
            namespace in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
            endpoint in proptest::sample::select(vec!["http://h:1/mcp", "HTTPS://[::1]/x?y={1}", "stdio://a", "https://h.example/mcp"]),
            notes in proptest::collection::btree_map(
                proptest::sample::select(vec![card::DESCRIPTION, card::VERSION, card::A2A_ENDPOINT, card::A2A_BINDING, card::A2A_VERSION]),
                prop_oneof![odd(400), Just("http://h:2/a2a".to_owned()), Just("1.2.3".to_owned())], 0..5),
            capabilities in proptest::collection::vec((odd(300), odd(128), proptest::sample::select(vec!["stable", "beta"])), 0..4),
        ) -> Registration {
            let tags = |tag: String| if tag.is_empty() { json!([]) } else { json!([tag]) };
            let capabilities = capabilities.into_iter().enumerate().map(|(i, (description, tag, stability))| json!({
                "name": format!("c{}", i / 2), "version": format!("1.{i}.0"), "description": description,
                "tags": tags(tag), "stability": stability, "input_schema": {"type": "object"},
            }));
            let capabilities = capabilities.collect::<Vec<_>>();
            let endpoint = endpoint.replace("{1}", "1");
            registered(&json!({
                "id": id, "name": name, "namespace": namespace, "endpoint": endpoint, "annotations": notes,
                "capabilities": capabilities, "metadata": {"secret": 1}, "config": {"secret": 2},
            }))
        }
    }

    fn length(value: &Value) -> usize {
        value.as_str().map_or(0, |text| text.chars().count())
    }

    /// The rules of the official schema for what we write, in our own words.
    fn faults_of_server_json(entry: &Value) -> Vec<&'static str> {
        let name = entry["name"].as_str().unwrap_or_default();
        let parts = name.split('/').collect::<Vec<_>>();
        let is_of = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let known = ["$schema", "name", "title", "description", "version", "remotes", "_meta"];
        let remotes = entry.get("remotes").map_or(&[][..], |remotes| remotes.as_array().unwrap());
        let is_remote = |remote: &Value| {
            remote["type"] == "streamable-http"
                && remote["url"].as_str().is_some_and(|url| !url.contains(['{', ' ']))
        };
        let version = entry["version"].as_str().unwrap_or_default();
        let rules = [
            (
                matches!(parts[..], [domain, word] if is_of(domain, ".-") && is_of(word, "._-")),
                "name: pattern",
            ),
            ((3..=200).contains(&name.len()), "name: length"),
            ((1..=100).contains(&length(&entry["title"])), "title: length"),
            ((1..=100).contains(&length(&entry["description"])), "description: length"),
            ((1..=255).contains(&version.len()), "version: length"),
            (
                !version.contains(['^', '~', '>', '<', '*', ' ', '|']) && version != "latest",
                "version: no range",
            ),
            (
                entry["$schema"].as_str().is_some_and(|url| url.ends_with("/2025-12-11/server.schema.json")),
                "$schema",
            ),
            (remotes.len() <= 1 && remotes.iter().all(is_remote), "remotes"),
            (entry["_meta"].as_object().is_some_and(|meta| meta.keys().eq([card::META])), "_meta"),
            (
                entry.as_object().is_some_and(|keys| keys.keys().all(|key| known.contains(&key.as_str()))),
                "known keys",
            ),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule).collect()
    }

    /// The fields that an A2A client counts on.
    fn faults_of_agent_card(card: &Value) -> Vec<&'static str> {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let list = |key: &str| card[key].as_array().cloned().unwrap_or_default();
        let interfaces = list("supportedInterfaces");
        let is_interface = |each: &Value| {
            ["url", "protocolBinding", "protocolVersion"].iter().all(|key| is_text(&each[*key]))
        };
        let skills = card["skills"].as_array().cloned();
        let is_skill = |each: &Value| {
            ["id", "name", "description"].iter().all(|key| is_text(&each[*key])) && each["tags"].is_array()
        };
        let ids = skills.iter().flatten().map(|skill| skill["id"].to_string());
        let distinct = ids.collect::<std::collections::BTreeSet<_>>();
        let rules = [
            (["name", "description", "version"].iter().all(|key| is_text(&card[*key])), "texts"),
            (!interfaces.is_empty() && interfaces.iter().all(is_interface), "supportedInterfaces"),
            (card["capabilities"]["extensions"][0]["uri"] == card::EXTENSION, "capabilities"),
            (["defaultInputModes", "defaultOutputModes"].iter().all(|key| !list(key).is_empty()), "modes"),
            (skills.as_ref().is_some_and(|skills| skills.iter().all(is_skill)), "skills"),
            (skills.is_some_and(|skills| skills.len() == distinct.len()), "ids of skills"),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule).collect()
    }

    proptest! {
        #[test]
        fn an_entry_keeps_to_the_official_schema_whatever_is_registered(registration in registrations()) {
            let entry = shown(&registration, Format::ServerJson).unwrap();
            prop_assert_eq!(faults_of_server_json(&entry), Vec::<&str>::new(), "{}", entry);
            let is_called = !registration.endpoint.starts_with("stdio");
            prop_assert_eq!(entry["remotes"][0]["url"].as_str(), is_called.then_some(registration.endpoint.as_str()));
            let inside = registered(&entry["_meta"][card::META]);
            prop_assert_eq!((&inside.id, &inside.endpoint), (&registration.id, &registration.endpoint));
            prop_assert!(!entry.to_string().contains("secret") && !entry.to_string().contains("input_schema"));
        }

        #[test]
        fn a_card_has_all_that_clients_count_on_or_there_is_none(registration in registrations()) {
            let url = registration.annotations.get(card::A2A_ENDPOINT);
            match shown(&registration, Format::AgentCard) {
                Ok(card) => {
                    prop_assert_eq!(faults_of_agent_card(&card), Vec::<&str>::new(), "{}", card);
                    prop_assert_eq!(card["supportedInterfaces"][0]["url"].as_str(), url.map(String::as_str));
                    prop_assert!(!card.to_string().contains("secret"));
                }
                Err(fault) => {
                    prop_assert!(fault.to_string().contains(card::A2A_ENDPOINT), "{}", fault);
                    prop_assert_ne!(url.map(String::as_str), Some("http://h:2/a2a"));
                }
            }
        }

        #[test]
        fn agents_with_other_ids_have_other_names(one in "[a-c:._-]{3,5}", other in "[a-c:._-]{3,5}", more in 0_usize..250) {
            let ids = [&one, &other].map(|id| format!("{}{id}", "x".repeat(more.min(248))));
            let name = |id: &String| {
                shown(&registered(&json!({"id": id, "endpoint": "http://h:1/"})), Format::ServerJson).unwrap()["name"].clone()
            };
            prop_assert_eq!(name(&ids[0]) == name(&ids[1]), one == other);
        }
    }

    #[test]
    fn a_name_is_that_of_the_agent_where_it_can_be() {
        let named = |id: &str| {
            let agent = json!({"id": id, "endpoint": "http://h:1/", "namespace": "prod"});
            shown(&registered(&agent), Format::ServerJson).unwrap()["name"].as_str().unwrap().to_owned()
        };
        assert_eq!(named("summarizer-1"), "local.mesh.prod/summarizer-1");
        assert!(named("a:b").starts_with("local.mesh.prod/a-b-"));
        assert_eq!(named(&"x".repeat(253)).len(), 200);
    }

    #[test]
    fn a_capability_is_a_skill() {
        let agent = json!({
            "id": "a", "endpoint": "http://h:1/mcp", "capabilities": [
                {"name": "x", "version": "1.0.0", "tags": ["t"], "category": "c", "stability": "beta", "annotations": {"title": "X"}},
                {"name": "x", "version": "2.0.0", "description": "does x"},
                {"name": "y"},
            ],
            "annotations": {"a2a-endpoint": "https://h:2/a2a", "a2a-binding": "HTTP+JSON", "a2a-version": "0.3"}
        });
        let card = shown(&registered(&agent), Format::AgentCard).unwrap();
        assert_eq!(
            card["skills"],
            json!([
                {"id": "x@1.0.0", "name": "X", "description": "x", "tags": ["t", "c", "stability:beta"]},
                {"id": "x@2.0.0", "name": "x", "description": "does x", "tags": []},
                {"id": "y", "name": "y", "description": "y", "tags": []},
            ])
        );
        let interface =
            json!([{"url": "https://h:2/a2a", "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3"}]);
        assert_eq!((&card["supportedInterfaces"], &card["version"]), (&interface, &json!("2.0.0")));
    }

    #[test]
    fn an_agent_that_nobody_can_reach_by_a2a_has_no_card() {
        for url in ["stdio://a", "h:1", "http://u:p@h/"] {
            let agent =
                json!({"id": "a", "endpoint": "http://h:1/mcp", "annotations": {"a2a-endpoint": url}});
            let fault = shown(&registered(&agent), Format::AgentCard).unwrap_err().to_string();
            assert!(fault.contains("its annotation 'a2a-endpoint' must"), "{fault}");
        }
    }

    #[test]
    fn what_is_no_registration_is_not_shown() {
        assert!(matches!(document("{}", Format::ServerJson), Err(NotShown::Damaged(_))));
    }
}
