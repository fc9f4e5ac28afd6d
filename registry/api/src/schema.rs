//! JSON Schema of the wire types, in the dialect of 2020-12 that OpenAPI 3.1 and MCP share.
//!
//! A type has two schemas: that of what the registry reads, where most keys may be absent, and that of what it writes,
//! where nearly all are there. Rules of single fields stand at the fields; this room knows what is true of all.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// Where an OpenAPI document keeps its schemas.
const COMPONENTS: &str = "/components/schemas/";
/// Ends the name of a component that is read, while it differs from the one that is written.
const INPUT: &str = "Input";

/// The schema of what the registry reads as `T`, with everything that it refers to under `$defs`.
pub fn of_input<T: JsonSchema>() -> Value {
    reading(SchemaSettings::draft2020_12()).into_generator().into_root_schema_for::<T>().to_value()
}

/// The schema of what the registry writes as `T`, with everything that it refers to under `$defs`.
pub fn of_output<T: JsonSchema>() -> Value {
    writing(SchemaSettings::draft2020_12()).into_generator().into_root_schema_for::<T>().to_value()
}

/// The schemas of an OpenAPI document, collected while its operations are written down.
#[derive(Debug)]
pub struct Components {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

// === impl Components ===

impl Default for Components {
    fn default() -> Self {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = COMPONENTS.into();
        settings.meta_schema = None;
        Self { read: reading(settings.clone()).into_generator(), written: writing(settings).into_generator() }
    }
}

impl Components {
    /// A reference to the schema of what the registry reads as `T`.
    pub fn input<T: JsonSchema>(&mut self) -> Value {
        let mut schema = self.read.subschema_for::<T>().to_value();
        rename(&mut schema, &|name| Some(format!("{name}{INPUT}")));
        schema
    }

    /// A reference to the schema of what the registry writes as `T`.
    pub fn output<T: JsonSchema>(&mut self) -> Value {
        self.written.subschema_for::<T>().to_value()
    }

    /// Puts every schema that was asked for into `document`. What is read and written alike is there once.
    pub fn finish(mut self, document: &mut Value) {
        let mut all = self.written.take_definitions(true);
        for (name, mut schema) in self.read.take_definitions(true) {
            rename(&mut schema, &|name| Some(format!("{name}{INPUT}")));
            all.insert(format!("{name}{INPUT}"), schema);
        }
        let mut schemas = Value::Object(all);
        while let Some((input, name)) = redundant(&schemas) {
            let Some(moved) = schemas.as_object_mut().and_then(|all| all.shift_remove(&input)) else { break };
            schemas[&name] = moved;
            let to_plain = |other: &str| (other == input).then(|| name.clone());
            rename(&mut schemas, &to_plain);
            rename(document, &to_plain);
        }
        document["components"]["schemas"] = schemas;
    }
}

/// A component that is read, and the name it can have without its ending.
fn redundant(schemas: &Value) -> Option<(String, String)> {
    schemas.as_object()?.iter().find_map(|(input, schema)| {
        let name = input.strip_suffix(INPUT)?;
        let is_free = schemas.get(name).is_none_or(|written| written == schema);
        is_free.then(|| (input.clone(), name.to_owned()))
    })
}

/// Renames the components that `value` refers to, where `to` knows another name.
fn rename(value: &mut Value, to: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let name = value.as_str().and_then(|path| path.strip_prefix('#')?.strip_prefix(COMPONENTS));
                match name.filter(|_| key == "$ref").and_then(to) {
                    Some(name) => *value = json!(format!("#{COMPONENTS}{name}")),
                    None => rename(value, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, to)),
        _ => {}
    }
}

// === what is true of all ===

fn reading(settings: SchemaSettings) -> SchemaSettings {
    plainly(settings.for_deserialize()).with_transform(RecursiveTransform(accept_null))
}

fn writing(settings: SchemaSettings) -> SchemaSettings {
    plainly(settings.for_serialize()).with_transform(RecursiveTransform(drop_what_is_only_read))
}

fn plainly(settings: SchemaSettings) -> SchemaSettings {
    settings.with_transform(RecursiveTransform(plain_prose)).with_transform(RecursiveTransform(plain_enum))
}

/// A key that is null counts as absent, so it may be null where it may be absent.
fn accept_null(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required =
        |key: &str| required.as_array().is_some_and(|keys| keys.iter().any(|other| other == key));
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (_, property) in properties.iter_mut().filter(|(key, _)| !is_required(key)) {
        add_null(property);
    }
}

fn add_null(schema: &mut Value) {
    let null = json!({"type": "null"});
    let Value::Object(object) = schema else { return };
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.push(Value::Null);
    }
    if object.contains_key("$ref") {
        let mut reference = Map::new();
        reference.extend(object.shift_remove_entry("$ref"));
        object.insert("anyOf".to_owned(), Value::Array(vec![Value::Object(reference), null]));
    } else if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
        if !alternatives.contains(&null) {
            alternatives.push(null);
        }
    } else if let Some(kind) = object.get("type").filter(|kind| kind.is_string()).cloned() {
        object.insert("type".to_owned(), json!([kind, "null"]));
    }
}

/// A key that is never written, and what a key is when it is absent, have no place in the schema of what is written.
fn drop_what_is_only_read(schema: &mut Schema) {
    schema.remove("default");
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|_, property| property["writeOnly"] != true);
    }
}

/// Descriptions are the comments of the types: one paragraph without the marks that only rustdoc reads.
fn plain_prose(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n").replace("[`", "`").replace("`]", "`");
    }
}

/// Words to choose from are one `enum`, which more readers understand than a choice of constants; what each word means
/// goes into the description.
fn plain_enum(schema: &mut Schema) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let word = |choice: &Value| Some((choice["const"].as_str()?.to_owned(), choice["description"].clone()));
    let Some(words) = choices.iter().map(word).collect::<Option<Vec<_>>>() else { return };
    let meaning = |(word, meaning): &(String, Value)| Some(format!("\n- `{word}`: {}", meaning.as_str()?));
    let meanings = words.iter().filter_map(meaning).collect::<String>();
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{about}\n{meanings}").trim().to_owned();
    let words = words.into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    schema.remove("oneOf");
    schema.ensure_object().extend([
        ("type".to_owned(), json!("string")),
        ("enum".to_owned(), json!(words)),
        ("description".to_owned(), json!(description)),
    ]);
}

// === schemas of fields ===

/// A moment, as RFC 3339 writes it.
pub fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// A moment that may not have come yet.
pub fn timestamp_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "null"], "format": "date-time"})
}

/// The `status` of an answer to a request that was carried out.
pub fn success(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "const": "success"})
}

/// The `status` of an error.
pub fn error(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "const": "error"})
}

/// Takes the default from a field that has none of its own: what it is when absent depends on another field.
pub fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    /// A document of the tests.
    ///
    /// It goes on
    /// for a while, see [`Mood`].
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Sample {
        id: String,
        #[schemars(default)]
        mood: Mood,
        #[schemars(default)]
        size: u8,
        #[schemars(extend("writeOnly" = true))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old_size: Option<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }

    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Mood {
        /// All is well.
        #[default]
        Good,
        /// Not quite.
        Bad,
    }

    #[test]
    fn what_may_be_absent_may_be_null_and_has_its_default() {
        let schema = of_input::<Sample>();
        assert_eq!(schema["required"], json!(["id"]));
        let properties = &schema["properties"];
        assert_eq!(properties["id"]["type"], "string");
        assert_eq!(properties["size"]["type"], json!(["integer", "null"]));
        assert_eq!(properties["note"]["type"], json!(["string", "null"]));
        let mood = json!({"anyOf": [{"$ref": "#/$defs/Mood"}, {"type": "null"}], "default": "good"});
        assert_eq!(properties["mood"], mood);
        assert!(schema["$defs"]["Mood"]["enum"] == json!(["good", "bad"]), "{schema}");
    }

    #[test]
    fn what_is_written_has_all_its_keys_and_none_that_are_only_read() {
        let schema = of_output::<Sample>();
        assert_eq!(schema["required"], json!(["id", "mood", "size"]));
        assert!(schema["properties"]["old_size"].is_null(), "{schema}");
        assert_eq!(schema["properties"]["mood"], json!({"$ref": "#/$defs/Mood"}));
    }

    #[test]
    fn comments_become_prose() {
        let schema = of_input::<Sample>();
        assert_eq!(schema["description"], "A document of the tests.\n\nIt goes on for a while, see `Mood`.");
        assert_eq!(schema["$defs"]["Mood"]["description"], "- `good`: All is well.\n- `bad`: Not quite.");
    }

    #[test]
    fn components_that_are_read_and_written_alike_are_there_once() {
        let mut components = Components::default();
        let mut document = json!({
            "read": components.input::<Sample>(), "written": components.output::<Sample>(),
            "mood": components.input::<Mood>(), "components": {},
        });
        components.finish(&mut document);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert_eq!(schemas.keys().collect::<Vec<_>>(), ["Sample", "Mood", "SampleInput"]);
        assert_eq!(document["read"]["$ref"], "#/components/schemas/SampleInput");
        assert_eq!(document["written"]["$ref"], "#/components/schemas/Sample");
        assert_eq!(document["mood"]["$ref"], "#/components/schemas/Mood");
        assert!(!document.to_string().contains("MoodInput"), "{document}");
    }
}
