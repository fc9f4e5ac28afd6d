//! Writes the registration: what the manifest says, and our agent's tools, within what a registry takes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use mesh_api::agent::{MAX_CAPABILITIES, Registration};
use mesh_api::capability::Capability;
use mesh_api::document::Findings;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::tool;

/// Largest document that a registry takes unless it is told another limit, in bytes, with some room.
const MAX_DOCUMENT: usize = 1024 * 1024 - 4096;
/// Most names in one remark.
const MAX_NAMED: usize = 10;

/// What can be left out of a tool so that the document becomes smaller, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Its schemas.
    Schemas,
    /// What it says about itself in words.
    Words,
}

/// The registration of an agent with these tools, which are in one order whatever the agent's, and remarks on what is not
/// registered as it is. `entries` are what the manifest says about single tools, in the order in which their capabilities
/// stand in `manifest`.
pub(super) fn write(
    manifest: &Registration,
    entries: &[Map<String, Value>],
    tools: &[Box<RawValue>],
) -> (Registration, Vec<String>) {
    let mut remarks = Vec::new();
    let mut tools = read(tools, &mut remarks);
    cut(&mut tools, &manifest.capabilities, &mut remarks);
    fit(&mut tools, MAX_DOCUMENT.saturating_sub(length(manifest)), &mut remarks);
    let mut capabilities = Vec::with_capacity(tools.len() + entries.len());
    for (entry, stated) in manifest.capabilities.iter().zip(entries) {
        let tool = tools.get(&entry.name);
        if tool.is_none() {
            remarks.push(format!("{} stands in the manifest and is no tool of our agent", entry.name));
        }
        capabilities.push(tool.and_then(|tool| overlay(tool, stated)).unwrap_or_else(|| entry.clone()));
    }
    manifest.capabilities.iter().for_each(|entry| drop(tools.remove(&entry.name)));
    capabilities.extend(tools.into_values());
    capabilities.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    (Registration { capabilities, ..manifest.clone() }, remarks)
}

/// Leaves out the tools that are too many beside `entries`, the last by their names.
fn cut(tools: &mut BTreeMap<String, Capability>, entries: &[Capability], remarks: &mut Vec<String>) {
    let is_entry = |name: &String| entries.iter().any(|entry| entry.name == *name);
    let room = MAX_CAPABILITIES.saturating_sub(entries.len());
    let others = tools.keys().filter(|name| !is_entry(name));
    let left_out = others.skip(room).cloned().collect::<Vec<_>>();
    if !left_out.is_empty() {
        left_out.iter().for_each(|name| drop(tools.remove(name)));
        remarks.push(format!(
            "an agent has {MAX_CAPABILITIES} capabilities at most: left out {}",
            list(&left_out)
        ));
    }
}

/// The tools by their names. Of several of one name the last is taken.
fn read(tools: &[Box<RawValue>], remarks: &mut Vec<String>) -> BTreeMap<String, Capability> {
    let mut known = BTreeMap::new();
    for tool in tools {
        let Some(capability) = tool::read(tool, remarks) else { continue };
        let name = capability.name.clone();
        if let Some(one) = known.insert(name.clone(), capability)
            && known.get(&name) != Some(&one)
        {
            remarks
                .push(format!("our agent has several tools called {name}: only one of them is registered"));
        }
    }
    known
}

/// The tool as a capability, with what the manifest states about it in place of what the agent says.
fn overlay(tool: &Capability, stated: &Map<String, Value>) -> Option<Capability> {
    let mut value = serde_json::to_value(tool).ok()?;
    let object = value.as_object_mut()?;
    if stated.contains_key("parameters_schema") {
        // The older name of the key, which the tool's own would win against.
        object.remove("input_schema");
    }
    for (key, stated) in stated.iter().filter(|(_, stated)| !stated.is_null()) {
        match (object.get_mut(key), stated) {
            (Some(Value::Object(hints)), Value::Object(stated)) if key == "annotations" => {
                hints.extend(stated.iter().map(|(hint, value)| (hint.clone(), value.clone())));
            }
            _ => drop(object.insert(key.clone(), stated.clone())),
        }
    }
    Capability::read(&value, "", &mut Findings::default())
}

/// Leaves parts of tools out, the largest first, until all of them have at most `room` bytes.
fn fit(tools: &mut BTreeMap<String, Capability>, room: usize, remarks: &mut Vec<String>) {
    let mut size: usize = tools.values().map(length).sum();
    let mut parts = tools
        .values()
        .flat_map(|tool| Part::ALL.map(|part| (part, Reverse(part.of(tool)), tool.name.clone())))
        .collect::<Vec<_>>();
    parts.sort_unstable();
    let mut left_out = Vec::new();
    for (part, Reverse(length), name) in parts {
        if size <= room || length == 0 {
            continue;
        }
        size -= length;
        tools.get_mut(&name).into_iter().for_each(|tool| part.leave_out(tool));
        left_out.push(format!("{part} of {name}"));
    }
    if !left_out.is_empty() {
        remarks.push(format!("the registry takes {MAX_DOCUMENT} bytes: left out {}", list(&left_out)));
    }
}

/// How long a value is as JSON, in bytes.
fn length(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |text| text.len())
}

fn list(names: &[String]) -> String {
    let named = names.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

// === impl Part ===

impl Part {
    const ALL: [Self; 2] = [Self::Schemas, Self::Words];

    /// How many bytes it has.
    fn of(self, tool: &Capability) -> usize {
        match self {
            Self::Schemas => {
                let schemas = [&tool.input_schema, &tool.output_schema];
                schemas.into_iter().flatten().map(length).sum()
            }
            Self::Words => {
                let words = [&tool.description, &tool.annotations.title];
                words.into_iter().flatten().map(length).sum()
            }
        }
    }

    fn leave_out(self, tool: &mut Capability) {
        match self {
            Self::Schemas => (tool.input_schema, tool.output_schema) = (None, None),
            Self::Words => (tool.description, tool.annotations.title) = (None, None),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schemas => "the schemas",
            Self::Words => "description and title",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(tools: &[Value]) -> Vec<Box<RawValue>> {
        tools.iter().map(|tool| RawValue::from_string(tool.to_string()).unwrap()).collect()
    }

    fn manifest(entries: &[Value]) -> (Registration, Vec<Map<String, Value>>) {
        let document = json!({"id": "a", "endpoint": "http://localhost:8001/mcp", "capabilities": entries});
        let (registration, _) = Registration::from_value(&document).unwrap();
        (registration, entries.iter().map(|entry| entry.as_object().cloned().unwrap()).collect())
    }

    fn drafted(entries: &[Value], tools: &[Value]) -> (Registration, Vec<String>) {
        let (registration, entries) = manifest(entries);
        write(&registration, &entries, &raw(tools))
    }

    fn names(registration: &Registration) -> Vec<String> {
        registration.capabilities.iter().map(|one| format!("{} {}", one.name, one.version)).collect()
    }

    #[test]
    fn tools_are_sorted_and_one_of_several_of_one_name_is_registered() {
        let tools = ["b", "a", "c"].map(|name| json!({"name": name, "inputSchema": {"type": "object"}}));
        let (registration, remarks) = drafted(&[], &tools);
        assert_eq!(
            (names(&registration).join(","), remarks.len()),
            ("a 1.0.0,b 1.0.0,c 1.0.0".to_owned(), 0)
        );
        let twins = [json!({"name": "a", "description": "x"}), json!({"name": "a", "description": "y"})];
        let (registration, remarks) = drafted(&[], &twins);
        assert_eq!((registration.capabilities.len(), remarks.len()), (1, 1), "{remarks:?}");
        let [x, _] = twins;
        assert!(drafted(&[], &[x.clone(), x]).1.is_empty());
    }

    #[test]
    fn what_an_entry_states_wins_and_the_rest_is_the_tools() {
        let tool = json!({"name": "a", "description": "of the tool", "inputSchema": {"type": "object"},
            "annotations": {"title": "A", "readOnlyHint": true}});
        let entry = json!({"name": "a", "version": "2.0.0", "tags": ["x"], "category": null,
            "annotations": {"readOnlyHint": false}, "parameters_schema": {"type": "object", "title": "mine"}});
        let (registration, remarks) = drafted(&[entry, json!({"name": "z"}), json!({"name": "a"})], &[tool]);
        assert_eq!(names(&registration), ["a 1.0.0", "a 2.0.0", "z 1.0.0"]);
        let [plain, a, _] = &registration.capabilities[..] else { panic!("{registration:?}") };
        assert_eq!(
            (a.description.as_deref(), a.tags.as_slice()),
            (Some("of the tool"), &["x".to_owned()][..])
        );
        assert_eq!((a.annotations.title.as_deref(), a.annotations.read_only_hint), (Some("A"), Some(false)));
        assert_eq!(a.input_schema.as_ref().unwrap()["title"], "mine");
        assert_eq!(plain.annotations.read_only_hint, Some(true));
        assert_eq!(remarks, ["z stands in the manifest and is no tool of our agent"]);
    }

    #[test]
    fn of_too_many_tools_the_first_by_name_are_registered_and_every_entry() {
        let tools: Vec<_> = (0..MAX_CAPABILITIES + 20).map(|n| json!({"name": format!("t{n:05}")})).collect();
        let (registration, remarks) = drafted(&[json!({"name": "t01015"}), json!({"name": "z"})], &tools);
        assert_eq!(registration.capabilities.len(), MAX_CAPABILITIES);
        assert_eq!(names(&registration)[997..], ["t00997 1.0.0", "t01015 1.0.0", "z 1.0.0"]);
        assert!(remarks[0].ends_with("t01007 and 11 more"), "{remarks:?}");
    }

    #[test]
    fn a_document_that_would_be_too_large_loses_schemas_first_and_then_words() {
        let schema = |bytes: usize| json!({"type": "object", "description": "x".repeat(bytes)});
        let mut tools: Vec<_> = (0..40)
            .map(|n| json!({"name": format!("t{n:02}"), "description": "d", "inputSchema": schema(30_000 + n)}))
            .collect();
        tools.push(json!({"name": "small", "inputSchema": schema(10)}));
        let (registration, remarks) = drafted(&[], &tools);
        assert!(length(&registration) <= 1024 * 1024);
        let with_schema = registration.capabilities.iter().filter(|one| one.input_schema.is_some()).count();
        assert_eq!((with_schema, remarks.len()), (35, 1), "{remarks:?}");
        assert!(registration.capabilities[0].input_schema.is_some(), "the smallest stays");
        assert!(registration.capabilities.iter().skip(1).all(|one| one.description.is_some()));
        let wordy: Vec<_> = (0..MAX_CAPABILITIES)
            .map(|n| json!({"name": format!("{n:a>128}"), "title": "\u{1}".repeat(500), "description": "ü".repeat(500)}))
            .collect();
        let (registration, _) = drafted(&[], &wordy);
        assert!(registration.capabilities.len() == MAX_CAPABILITIES && length(&registration) <= 1024 * 1024);
    }
}
