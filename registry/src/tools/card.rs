//! What each tool says about itself: to people, to models, and to the programs that check what goes in and out.

use mesh_api::agent::{ID_PATTERN, ID_RULE, Registered, Registration, Unregistered};
use mesh_api::health::AgentHealth;
use mesh_api::heartbeat::{Heartbeat, HeartbeatAnswer};
use mesh_api::page::{AgentPage, CapabilityPage};
use mesh_api::schema::{of_input, of_output};
use serde_json::{Map, Value, json};

use super::filters::{AgentFilters, CapabilityFilters};

/// Longest pattern that a card shows, in bytes. Longer ones say less to a model than the description beside them, and
/// what they forbid is refused by the registry in words.
const MAX_PATTERN: usize = 100;

/// A tool as it presents itself.
pub(super) struct Card {
    title: &'static str,
    description: &'static str,
    effect: Effect,
    input: Value,
    output: Value,
}

/// What calling a tool does.
enum Effect {
    /// Nothing.
    Reads,
    /// Something, and a second time nothing more; nothing that was there is lost.
    Writes,
    /// The same, but what was there before may be lost.
    Overwrites,
}

impl Card {
    pub(super) fn register_agent() -> Self {
        Self {
            title: "Register an agent",
            description: "Registers an agent, or replaces the registration under its id. It counts as \
                          pending until its first heartbeat. The answer comes when the registration is \
                          durable; keys that mean nothing are listed in its warnings.",
            effect: Effect::Overwrites,
            input: inside("registration_data", of_input::<Registration>()),
            output: of_output::<Registered>(),
        }
    }

    pub(super) fn unregister_agent() -> Self {
        Self {
            title: "Unregister an agent",
            description: "Removes an agent from the registry, so that nobody finds it any more. The agent \
                          itself goes on running.",
            effect: Effect::Overwrites,
            input: only_agent_id("Id of the agent to remove"),
            output: of_output::<Unregistered>(),
        }
    }

    pub(super) fn discover_services() -> Self {
        Self {
            title: "Find agents",
            description: "Finds agents by what they can do, where they belong and how they are, each with \
                          its endpoint, capabilities, labels and health. All capability filters must hold \
                          for the same capability. To find out what can be done at all, list_capabilities is \
                          shorter.",
            effect: Effect::Reads,
            input: of_input::<AgentFilters>(),
            output: of_output::<AgentPage>(),
        }
    }

    pub(super) fn heartbeat() -> Self {
        Self {
            title: "Send a heartbeat",
            description: "Tells the registry that an agent is alive, and how it feels. An agent that falls \
                          silent counts as degraded and later as expired. The answer says when the next \
                          heartbeat is due.",
            effect: Effect::Writes,
            input: of_input::<Heartbeat>(),
            output: of_output::<HeartbeatAnswer>(),
        }
    }

    pub(super) fn get_agent_status() -> Self {
        Self {
            title: "Show the health of an agent",
            description: "Tells how one agent is: its status, when it was last heard, and how long it may \
                          stay silent.",
            effect: Effect::Reads,
            input: only_agent_id("Id of the agent to ask about"),
            output: of_output::<AgentHealth>(),
        }
    }

    pub(super) fn list_capabilities() -> Self {
        Self {
            title: "Find capabilities",
            description: "Lists what the agents of the mesh can do, each capability with the agent that \
                          offers it. Without filters it lists what healthy agents offer.",
            effect: Effect::Reads,
            input: of_input::<CapabilityFilters>(),
            output: of_output::<CapabilityPage>(),
        }
    }

    /// The card as an MCP server shows it.
    pub(super) fn into_value(self, name: &str) -> Value {
        json!({
            "name": name,
            "title": self.title,
            "description": self.description,
            "inputSchema": plain(self.input),
            "outputSchema": plain(self.output),
            "annotations": self.effect.hints(),
        })
    }
}

impl Effect {
    /// What a client may assume. None of the tools reaches beyond the registry.
    fn hints(&self) -> Value {
        json!({
            "readOnlyHint": matches!(self, Self::Reads),
            // To the protocol everything is destructive that does more than to add.
            "destructiveHint": matches!(self, Self::Overwrites),
            "idempotentHint": true,
            "openWorldHint": false,
        })
    }
}

/// An object with one key; what its schema refers to stays at the root, where references look for it.
fn inside(key: &str, mut schema: Value) -> Value {
    let definitions = schema.as_object_mut().and_then(|schema| schema.shift_remove("$defs"));
    let properties = Map::from_iter([(key.to_owned(), schema)]);
    json!({
        "type": "object", "properties": properties, "required": [key], "additionalProperties": true,
        "$defs": definitions.unwrap_or_default(),
    })
}

fn only_agent_id(description: &str) -> Value {
    let id =
        json!({"type": "string", "description": format!("{description}: {ID_RULE}"), "pattern": ID_PATTERN});
    json!({"type": "object", "properties": {"agent_id": id}, "required": ["agent_id"]})
}

/// A schema without what only costs its readers: the dialect, which is the protocol's own; names of our types; formats
/// of numbers, which validators do not know; bounds beyond the integers of most languages; and patterns that nobody
/// reads.
fn plain(mut schema: Value) -> Value {
    simplify(&mut schema);
    schema
}

fn simplify(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // Properties may have these names too, but their values are no texts.
            let is_long = |value: &Value| value.as_str().is_some_and(|text| text.len() > MAX_PATTERN);
            let is_of_number = |value: &Value| value.as_str().is_some_and(|text| text != "date-time");
            object.retain(|key, value| match key.as_str() {
                "pattern" => !is_long(value),
                "format" => !is_of_number(value),
                "title" | "$schema" => !value.is_string(),
                "maximum" => !value.is_u64() || value.is_i64(),
                _ => true,
            });
            object.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_inside_another_still_finds_what_it_refers_to() {
        let schema = json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}});
        let outer = inside("key", schema);
        assert_eq!(outer["properties"], json!({"key": {"$ref": "#/$defs/A"}}));
        assert_eq!(outer["$defs"], json!({"A": {"type": "string"}}));
    }

    #[test]
    fn long_patterns_and_names_of_types_go_and_properties_of_those_names_stay() {
        let schema = json!({
            "$schema": "x", "title": "x", "type": "object", "properties": {
                "pattern": {"type": "string", "pattern": "x".repeat(101)},
                "format": {"type": "integer", "format": "uint64", "maximum": u64::MAX}, "title": {"type": "string"},
                "time": {"type": "string", "format": "date-time", "pattern": "short"},
            }
        });
        let properties = json!({
            "pattern": {"type": "string"}, "format": {"type": "integer"}, "title": {"type": "string"},
            "time": {"type": "string", "format": "date-time", "pattern": "short"},
        });
        assert_eq!(plain(schema), json!({"type": "object", "properties": properties}));
    }
}
