//! What one tool of our agent is as a capability. A tool is believed as far as it can be read: a part that cannot be
//! registered is left out, and a remark says why.

use mesh_api::capability::{self, Capability, MAX_DESCRIPTION, NAME_RULE, Stability, ToolHints};
use mesh_api::document::{cut, kind, quoted};
use semver::Version;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Largest schema, in bytes.
const MAX_SCHEMA: usize = 64 * 1024;
/// Deepest schema. A JSON document is read 128 levels deep, and the registry puts a schema into lists and objects.
const MAX_DEPTH: usize = 100;
/// The version of a tool about which the manifest says nothing. The version that a server gives itself is not taken: most
/// SDKs put their own there unless they are told another.
const VERSION: Version = Version::new(1, 0, 0);

/// Reads one tool.
pub(super) fn read(text: &RawValue, remarks: &mut Vec<String>) -> Option<Capability> {
    let Ok(tool) = serde_json::from_str::<Map<String, Value>>(text.get()) else {
        remarks.push(format!("a tool is left out: {} cannot be read as one", cut(text.get())));
        return None;
    };
    let Some(name) = tool.get("name").and_then(Value::as_str).filter(|name| capability::is_name(name)) else {
        let name = tool.get("name").unwrap_or(&Value::Null);
        let name = name.as_str().map_or_else(|| kind(name).to_owned(), quoted);
        remarks.push(format!("a tool is left out: the name of a capability is {NAME_RULE}, got {name}"));
        return None;
    };
    let mut schema = |key: &str| match read_schema(tool.get(key)?) {
        Ok(schema) => Some(schema),
        Err(reason) => {
            remarks.push(format!("the {key} of {name} is left out: it {reason}"));
            None
        }
    };
    Some(Capability {
        name: name.to_owned(),
        version: VERSION,
        description: text_of(tool.get("description")),
        category: None,
        tags: Vec::new(),
        stability: Stability::default(),
        input_schema: schema("inputSchema"),
        output_schema: schema("outputSchema"),
        annotations: read_hints(&tool),
        compatibility_versions: Vec::new(),
    })
}

fn read_hints(tool: &Map<String, Value>) -> ToolHints {
    let annotations = tool.get("annotations").and_then(Value::as_object);
    let annotation = |key: &str| annotations.and_then(|annotations| annotations.get(key));
    let hint = |key: &str| annotation(key).and_then(Value::as_bool);
    ToolHints {
        title: text_of(tool.get("title").or_else(|| annotation("title"))),
        read_only_hint: hint("readOnlyHint"),
        idempotent_hint: hint("idempotentHint"),
        destructive_hint: hint("destructiveHint"),
        open_world_hint: hint("openWorldHint"),
    }
}

/// The beginning of a text, as much as a capability may have.
fn text_of(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(|text| text.chars().take(MAX_DESCRIPTION).collect())
}

fn read_schema(value: &Value) -> Result<Map<String, Value>, String> {
    let Value::Object(schema) = value else { return Err(format!("must be an object, got {}", kind(value))) };
    if depth(value) > MAX_DEPTH {
        return Err(format!("is more than {MAX_DEPTH} levels deep"));
    }
    match value.to_string().len() {
        length if length > MAX_SCHEMA => Err(format!("is larger than {MAX_SCHEMA} bytes: it has {length}")),
        _ => Ok(schema.clone()),
    }
}

/// How deep a value goes. What was parsed goes 128 levels deep at most.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_text(text: &str) -> (Option<Capability>, Vec<String>) {
        let mut remarks = Vec::new();
        let tool = read(&RawValue::from_string(text.to_owned()).unwrap(), &mut remarks);
        (tool, remarks)
    }

    fn read_value(tool: &Value) -> (Option<Capability>, Vec<String>) {
        read_text(&tool.to_string())
    }

    #[test]
    fn all_that_a_tool_says_of_itself_is_taken() {
        let (tool, remarks) = read_value(&json!({
            "name": "sum.up-2_x", "title": "Sum up", "description": "Adds.", "execution": {"taskSupport": "required"},
            "inputSchema": {"type": "object"}, "outputSchema": {"type": "object", "title": "out"}, "icons": [],
            "annotations": {"title": "older", "readOnlyHint": true, "idempotentHint": false, "destructiveHint": "no"},
        }));
        let tool = tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.version.to_string().as_str()), ("sum.up-2_x", "1.0.0"));
        assert_eq!(
            (tool.description.as_deref(), tool.annotations.title.as_deref()),
            (Some("Adds."), Some("Sum up"))
        );
        let hints = &tool.annotations;
        assert_eq!(
            (hints.read_only_hint, hints.idempotent_hint, hints.destructive_hint),
            (Some(true), Some(false), None)
        );
        assert!(
            tool.input_schema.is_some()
                && tool.output_schema.unwrap()["title"] == "out"
                && remarks.is_empty()
        );
    }

    #[test]
    fn a_tool_whose_name_is_none_of_a_capability_is_left_out_and_a_remark_says_why() {
        for name in [
            json!(""),
            json!("9lives"),
            json!("a b"),
            json!("größe"),
            json!("a".repeat(129)),
            json!(7),
            json!(null),
        ] {
            let (tool, remarks) = read_value(&json!({"name": name}));
            assert!(
                tool.is_none() && remarks[0].contains("a letter followed by letters"),
                "{name}: {remarks:?}"
            );
        }
        for rubbish in ["7", "[]", "null", r#"{"name":"a","x":"\ud800"}"#, r#"{"name":"a","x":1e999}"#] {
            let (tool, remarks) = read_text(rubbish);
            assert!(tool.is_none() && remarks[0].contains("cannot be read as one"), "{rubbish}: {remarks:?}");
        }
    }

    #[test]
    fn a_schema_that_cannot_be_registered_is_left_out_and_the_tool_stays() {
        let nested = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!({"a": inner}));
        for (schema, reason) in [
            (json!("object"), "must be an object, got"),
            (json!(null), "must be an object, got null"),
            (json!({"description": "x".repeat(MAX_SCHEMA)}), "is larger than 65536 bytes"),
            (nested(MAX_DEPTH), "is more than 100 levels deep"),
        ] {
            let (tool, remarks) =
                read_value(&json!({"name": "a", "inputSchema": schema, "outputSchema": {}}));
            let tool = tool.unwrap();
            assert!(tool.input_schema.is_none() && tool.output_schema.is_some());
            assert!(
                remarks[0].starts_with("the inputSchema of a is left out") && remarks[0].contains(reason),
                "{remarks:?}"
            );
        }
        assert!(read_value(&json!({"name": "a", "inputSchema": nested(MAX_DEPTH - 1)})).1.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_a_tool_says_a_registry_can_read_what_it_becomes(
            title in prop_oneof![Just(json!("t")), Just(json!(7)), Just(json!("ü".repeat(MAX_DESCRIPTION + 1)))],
            description in prop_oneof![Just(json!(null)), Just(json!([])), ".{0,9}".prop_map(Value::from)],
            annotations in prop_oneof![Just(json!([])), Just(json!({"readOnlyHint": 1})), Just(json!({"title": ""}))],
            schema in prop_oneof![Just(json!({})), Just(json!(true)), Just(json!({"type": ["x"]}))],
        ) {
            let tool = json!({"name": "a", "title": title, "description": description, "annotations": annotations,
                "inputSchema": schema, "outputSchema": schema});
            let document = serde_json::to_value(read_value(&tool).0.unwrap()).unwrap();
            let mut findings = mesh_api::document::Findings::default();
            prop_assert!(Capability::read(&document, "", &mut findings).is_some());
            prop_assert!(findings.faults.is_empty() && findings.unknown.is_empty(), "{:?}", findings);
        }
    }
}
