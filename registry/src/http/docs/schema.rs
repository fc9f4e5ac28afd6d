//! A JSON Schema as HTML that a person can read: a line of words, and a table for the keys of an object.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::super::html::{escaped, prose};

/// Everything about a schema: its description, a line, and its keys.
pub(super) fn whole(schema: &Value) -> String {
    let description = schema["description"].as_str().map(|text| format!("<p>{}</p>", prose(text)));
    let mut html = description.unwrap_or_default() + "<p>" + &line(schema) + "</p>";
    if let Some(properties) = schema["properties"].as_object() {
        html.push_str(&table(properties, &schema["required"]));
    }
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        if let Some(properties) = alternative["properties"].as_object() {
            html.push_str(&table(properties, &alternative["required"]));
        }
    }
    html
}

fn table(properties: &Map<String, Value>, required: &Value) -> String {
    let mut html = String::from("<table>");
    for (key, property) in properties {
        let is_required = required.as_array().is_some_and(|keys| keys.iter().any(|other| other == key));
        let required = if is_required { "<br>required" } else { "" };
        let about = property["description"].as_str().map(|text| prose(text) + "<br>").unwrap_or_default();
        // Writing to a string does not fail.
        let _ =
            write!(html, "<tr><td><code>{}</code>{required}</td><td>{about}{}", escaped(key), line(property));
        if let Some(inner) = property["properties"].as_object() {
            html.push_str(&table(inner, &property["required"]));
        }
        html.push_str("</td></tr>");
    }
    html + "</table>"
}

/// What a value must be, in one line.
pub(super) fn line(schema: &Value) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        let name = escaped(path.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#schema-{name}\">{name}</a>{}", rules(schema));
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let lines = alternatives.iter().map(line).collect::<Vec<_>>();
        return lines.join(" or ") + &rules(schema);
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind_in_words(kind, schema),
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str).map(|kind| kind_in_words(kind, schema));
            kinds.collect::<Vec<_>>().join(" or ")
        }
        _ => "anything".to_owned(),
    };
    kind + &rules(schema)
}

fn kind_in_words(kind: &str, schema: &Value) -> String {
    match kind {
        "array" => format!("list of ({})", line(&schema["items"])),
        "object" if schema["additionalProperties"]["type"].is_string() => {
            format!("object of ({})", line(&schema["additionalProperties"]))
        }
        "null" => "null".to_owned(),
        kind => escaped(kind),
    }
}

/// The rules beside the type.
fn rules(schema: &Value) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("const", "always"),
        ("enum", "one of"),
        ("minimum", "from"),
        ("maximum", "to"),
        ("minLength", "characters from"),
        ("maxLength", "characters to"),
        ("maxItems", "items to"),
        ("maxProperties", "keys to"),
        ("default", "when absent"),
        ("pattern", "like"),
    ];
    let mut html = String::new();
    for (keyword, words) in WORDS {
        match &schema[keyword] {
            Value::Null => {}
            value => {
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let _ = write!(html, ", {words} <code>{}</code>", escaped(&shown));
            }
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_said_in_words() {
        let list = json!({"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Agent"}, "maxItems": 3});
        let said = "list of (<a href=\"#schema-Agent\">Agent</a>) or null, items to <code>3</code>";
        assert_eq!(line(&list), said);
        assert_eq!(line(&json!({"type": "string", "pattern": "^<$"})), "string, like <code>^&lt;$</code>");
        assert_eq!(line(&json!(true)), "anything");
    }

    #[test]
    fn the_keys_of_an_object_are_a_table() {
        let object = json!({"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]});
        let row = "<table><tr><td><code>id</code><br>required</td><td>string</td></tr></table>";
        assert!(whole(&object).ends_with(row), "{}", whole(&object));
    }
}
