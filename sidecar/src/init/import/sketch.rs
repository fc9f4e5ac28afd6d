//! What all cards have in common on their way to a registration.

use mesh_api::agent::MAX_ID;
use mesh_api::{card, endpoint};
use serde_json::{Map, Value, json};

/// Keys of a registration that are taken from a card of our own.
const OURS: [&str; 7] = ["id", "name", "namespace", "agent_type", "labels", "annotations", "capabilities"];
/// Keys of a capability that are not: the agent itself tells its schemas, and they may be large.
const SCHEMAS: [&str; 3] = ["input_schema", "output_schema", "parameters_schema"];
/// The id of an agent whose card has no name that could be one.
const NO_ID: &str = "my-agent";

/// The document of a registration, and what a person should know about its endpoint.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) document: Value,
    pub(super) endpoint: &'static str,
}

/// What a card says about its agent.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What an id is made from.
    pub(super) name: String,
    /// For people.
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) version: Option<String>,
    /// More annotations.
    pub(super) notes: Vec<(&'static str, String)>,
    pub(super) capabilities: Vec<Value>,
    /// The registration, if a registry of ours wrote the card.
    pub(super) ours: Option<Value>,
}

impl Said {
    /// The sketch of the agent at `url`, about which `endpoint` is to be told.
    pub(super) fn sketch(self, url: &str, endpoint: &'static str) -> Sketch {
        let mut document = match &self.ours {
            Some(ours) => taken(ours),
            None => self.document(),
        };
        document.insert("endpoint".to_owned(), json!(url));
        Sketch { document: Value::Object(document), endpoint }
    }

    fn document(self) -> Map<String, Value> {
        let notes = [(card::DESCRIPTION, self.description), (card::VERSION, self.version)];
        let notes =
            notes.into_iter().filter_map(|(key, text)| Some((key, text.filter(|text| !text.is_empty())?)));
        let annotations = notes.chain(self.notes).map(|(key, text)| (key.to_owned(), json!(text)));
        let title = self.title.map(|title| title.chars().take(MAX_ID).collect::<String>());
        let document = json!({
            "id": id_of(&self.name),
            "name": title.filter(|title| !title.is_empty()),
            "annotations": annotations.collect::<Map<_, _>>(),
            "capabilities": self.capabilities,
        });
        document.as_object().cloned().unwrap_or_default()
    }
}

fn taken(ours: &Value) -> Map<String, Value> {
    let taken = OURS.iter().filter_map(|key| Some(((*key).to_owned(), ours.get(*key)?.clone())));
    let mut taken = taken.collect::<Map<_, _>>();
    let capabilities = taken.get_mut("capabilities").and_then(Value::as_array_mut);
    for capability in capabilities.into_iter().flatten().filter_map(Value::as_object_mut) {
        SCHEMAS.iter().for_each(|key| drop(capability.shift_remove(*key)));
    }
    taken
}

/// An id that is as near to a name as an id can be: words with dashes between them.
fn id_of(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_'));
    let id = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let id = id[..id.len().min(MAX_ID)].to_ascii_lowercase();
    if mesh_api::agent::is_id(&id) { id } else { NO_ID.to_owned() }
}

/// Whether a URL can be an endpoint.
pub(super) fn is_callable(url: &str) -> bool {
    !url.starts_with("stdio:") && endpoint::check(url).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_the_words_of_a_name() {
        assert_eq!(id_of("Recipe Agent (beta)"), "recipe-agent-beta");
        assert_eq!((id_of("v1.2_x"), id_of("…"), id_of("..")), ("v1.2_x".into(), NO_ID.into(), NO_ID.into()));
        assert_eq!(id_of(&"ä x".repeat(300)).len(), MAX_ID);
    }
}
