//! The manifest that is written: a registration with a comment at every key, so that a person can go on from there.

use std::fmt;

use mesh_api::agent::{DEFAULT_NAMESPACE, Registration};
use serde_json::{Map, Value, json};

use super::fault::InitError;
use super::yaml;

/// Where an agent listens whose address nobody knows yet.
pub(super) const PLACEHOLDER: &str = "http://127.0.0.1:8001/mcp";
/// What is said about an endpoint that is to be written by hand.
const OWN_ENDPOINT: &str = "Where this agent listens, as its sidecar reaches it.";
/// The list of capabilities when nobody knows them yet, of an agent that cannot be asked for it.
const NO_CAPABILITIES: &str = "# capabilities:\n#   - name: my_tool\n#     version: 1.0.0\n";
/// The same of one that can.
const ASKED: &str = "\n# What others may call: the sidecar asks the agent itself. A list of them would be what is written instead.\n\
                     capabilities: auto\n";
/// What peers need when the endpoint is of this host alone.
const ADVERTISE: &str = "# Where its peers reach it. Default: the port for peers when that is on (--inbound), else the endpoint, which is\n\
                         # right only when all agents share one host.\n\
                         # advertise: http://10.0.0.7:8001/mcp\n";

/// A manifest to start from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    /// What it was made from, to follow `The manifest of an agent`.
    pub(super) origin: String,
    /// What it says.
    pub(super) registration: Registration,
    /// What a person should know about the endpoint.
    pub(super) endpoint: &'static str,
    /// Whether it is an MCP server, which can be asked for its tools.
    pub(super) can_be_asked: bool,
}

impl Draft {
    /// One with nothing in it but examples.
    ///
    /// # Errors
    /// None that this version knows.
    pub(super) fn template() -> Result<Self, InitError> {
        let document =
            json!({"id": "my-agent", "endpoint": PLACEHOLDER, "capabilities": [{"name": "my_tool"}]});
        let faulty = |faults| InitError::Faulty { kind: "template", from: "mesh-sidecar".to_owned(), faults };
        let (registration, _) = Registration::from_value(&document).map_err(faulty)?;
        let origin = ": who it is, where it listens, what others may call".to_owned();
        Ok(Self { origin, registration, endpoint: OWN_ENDPOINT, can_be_asked: true })
    }

    /// The keys that say more than their defaults, each with its comment and its value.
    fn keys(&self) -> Vec<(&'static str, &'static str, Value)> {
        let Registration {
            id, name, namespace, agent_type, endpoint, capabilities, labels, annotations, ..
        } = &self.registration;
        let unless =
            |value: &String, default: &str| if value == default { Value::Null } else { json!(value) };
        let capabilities = capabilities.iter().map(|each| plain(json!(each))).collect::<Value>();
        let keys = [
            (
                "id",
                "Unique in the whole mesh: replicas need one each, such as ${HOSTNAME}-my-agent.",
                json!(id),
            ),
            ("name", "For people. Default: the id.", unless(name, id)),
            ("namespace", "Whose agent it is. Default: default.", unless(namespace, DEFAULT_NAMESPACE)),
            (
                "agent_type",
                "Chooses the registry's default thresholds.",
                unless(agent_type, DEFAULT_NAMESPACE),
            ),
            ("endpoint", self.endpoint, json!(endpoint)),
            ("capabilities", CAPABILITIES, capabilities),
            ("labels", "What callers' label selectors match.", json!(labels)),
            (
                "annotations",
                "Notes for people and tools; description and version stand in its cards.",
                json!(annotations),
            ),
        ];
        keys.into_iter().filter(|(_, _, value)| says_something(value)).collect()
    }
}

/// What a person should know about the list of capabilities.
const CAPABILITIES: &str = "What others may call: each name is the name of one of the agent's tools.";

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!(
            "# The manifest of an agent{}.\n# Every key that there is, with its default: examples/manifests/full.yaml.\n",
            self.origin
        );
        for (key, comment, value) in self.keys() {
            text.push_str(&format!("\n# {}\n", comment.replace('\n', "\n# ")));
            yaml::entry(&mut text, 0, key, &value);
            if key == "endpoint" {
                text.push_str(ADVERTISE);
            }
        }
        match (self.registration.capabilities.is_empty(), self.can_be_asked) {
            (false, _) => {}
            (true, true) => text.push_str(ASKED),
            (true, false) => text.push_str(&format!("\n# {CAPABILITIES}\n{NO_CAPABILITIES}")),
        }
        f.write_str(&text)
    }
}

/// A capability without what is so when nothing is said.
fn plain(capability: Value) -> Value {
    let Value::Object(object) = capability else { return capability };
    let is_said =
        |(key, value): &(String, Value)| says_something(value) && !(key == "stability" && value == "stable");
    object.into_iter().filter(is_said).collect::<Map<_, _>>().into()
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest;

    #[test]
    fn a_template_is_a_manifest() {
        let text = Draft::template().unwrap().to_string();
        let manifest = manifest::parse(&text, "m.yaml", |_| None).unwrap();
        assert_eq!(manifest.registration.id, "my-agent");
        assert_eq!(manifest.registration.capabilities[0].name, "my_tool");
    }

    #[test]
    fn keys_that_say_nothing_are_left_out_and_capabilities_are_asked_for() {
        let document = json!({"id": "a", "endpoint": "http://h:1/mcp"});
        let registration = Registration::from_value(&document).unwrap().0;
        let asked = Draft { registration: registration.clone(), ..Draft::template().unwrap() }.to_string();
        assert!(manifest::parse(&asked, "m.yaml", |_| None).unwrap().tools.is_some(), "{asked}");
        let text = Draft { registration, can_be_asked: false, ..Draft::template().unwrap() }.to_string();
        let keys = text.lines().filter(|line| !line.starts_with(['#', ' ']) && !line.is_empty());
        assert_eq!(keys.collect::<Vec<_>>(), ["id: \"a\"", "endpoint: \"http://h:1/mcp\""]);
        assert!(text.contains("# capabilities:\n#   - name: my_tool"), "{text}");
        let uncommented =
            text.replace("# capabilities:\n#   - name: my_tool\n#  ", "capabilities:\n  - name: my_tool\n ");
        assert_eq!(
            manifest::parse(&uncommented, "m.yaml", |_| None).unwrap().registration.capabilities.len(),
            1
        );
    }

    proptest! {
        #[test]
        fn a_manifest_says_what_the_registration_says(
            id in "[A-Za-z0-9_:-]{1,12}",
            name in "\\PC{1,20}",
            namespace in "[a-z]([a-z0-9-]{0,8}[a-z0-9])?",
            text in "(?s).{0,30}",
            stability in proptest::sample::select(vec!["stable", "deprecated"]),
            hint in any::<Option<bool>>(),
        ) {
            let document = json!({
                "id": id, "name": name, "namespace": namespace, "agent_type": "worker", "endpoint": "https://h:1/mcp?a=[1]",
                "labels": {"on": "off", "example.org/x": "1"}, "annotations": {"no": text, "y": "~"},
                "capabilities": [
                    {"name": "null", "version": "1.0.0-rc.1", "description": text, "tags": ["yes", "1"], "stability": stability,
                     "category": "true", "annotations": {"title": text, "idempotentHint": hint}, "compatibility_versions": ["0.1.0"]},
                    {"name": "x"},
                ],
            });
            let registration = Registration::from_value(&document).unwrap().0;
            let text = Draft { registration: registration.clone(), ..Draft::template().unwrap() }.to_string();
            let read = manifest::parse(&text, "m.yaml", |_| None);
            prop_assert!(read.is_ok(), "{:?}\n{}", read, text);
            prop_assert_eq!(read.unwrap().registration, registration, "{}", text);
        }
    }
}
