//! Makes documents that a JSON Schema accepts: the keywords that our schemas use, and a panic at every other one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Map, Value, json};

/// Keywords that demand nothing.
const PROSE: [&str; 8] =
    ["description", "default", "title", "format", "deprecated", "writeOnly", "$schema", "$defs"];
/// The end of the prefix of a label key in patterns. That a prefix has at most 253 characters is said in words only.
const PREFIX_END: &str = ")*/)?";
/// The same of a prefix that has three DNS labels at most, which are always short enough.
const SHORT_PREFIX_END: &str = "){0,2}/)?";
/// Most items of a list, and most keys of a map, that are worth the time to make.
const ENOUGH: u64 = 4;

/// The documents that a schema accepts.
pub(crate) struct Documents {
    root: Value,
}

impl Documents {
    pub(crate) fn of(root: Value) -> Self {
        Self { root }
    }

    pub(crate) fn strategy(&self) -> BoxedStrategy<Value> {
        self.of_schema(&self.root)
    }

    fn of_schema(&self, schema: &Value) -> BoxedStrategy<Value> {
        let Value::Object(schema) = schema else { return any_value() };
        let schema: BTreeMap<_, _> = schema
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .filter(|(key, _)| !PROSE.contains(key))
            .collect();
        if let Some(path) = schema.get("$ref").and_then(|path| path.as_str()) {
            assert_eq!(schema.len(), 1, "nothing stands beside a reference: {schema:?}");
            return self
                .of_schema(self.root.pointer(path.trim_start_matches('#')).expect("what is referred to"));
        }
        if let Some(alternatives) = schema.get("anyOf").and_then(|any| any.as_array()) {
            assert_eq!(schema.len(), 1, "nothing stands beside a choice: {schema:?}");
            return one_of(alternatives.iter().map(|schema| self.of_schema(schema)));
        }
        if let Some(words) = schema.get("enum").and_then(|words| words.as_array()) {
            return proptest::sample::select(words.clone()).boxed();
        }
        match schema.get("type") {
            None if schema.is_empty() => any_value(),
            Some(Value::String(kind)) => self.of_kind(kind, &schema),
            Some(Value::Array(kinds)) => {
                one_of(kinds.iter().map(|kind| self.of_kind(kind.as_str().expect("a name"), &schema)))
            }
            _ => panic!("a schema of a kind that is not known: {schema:?}"),
        }
    }

    fn of_kind(&self, kind: &str, schema: &BTreeMap<&str, &Value>) -> BoxedStrategy<Value> {
        let whole = |key: &str, default: u64| {
            schema.get(key).map_or(default, |value| value.as_u64().expect("a count"))
        };
        let number = |key: &str, default: f64| {
            schema.get(key).map_or(default, |value| value.as_f64().expect("a number"))
        };
        let allowed: &[&str] = match kind {
            "null" => return Just(Value::Null).boxed(),
            "boolean" => return any::<bool>().prop_map(Value::from).boxed(),
            "number" | "integer" => &["minimum", "maximum"],
            "string" => &["pattern", "minLength", "maxLength"],
            "array" => &["items", "maxItems"],
            "object" => &["properties", "required", "additionalProperties", "propertyNames", "maxProperties"],
            _ => panic!("{kind} is not known"),
        };
        let unknown =
            schema.keys().filter(|key| **key != "type" && !allowed.contains(key)).collect::<Vec<_>>();
        assert!(unknown.is_empty(), "{kind} with {unknown:?}");
        match kind {
            "number" => numbers(number("minimum", -1e9), number("maximum", 1e9)),
            "integer" => {
                let (min, max) = (whole("minimum", 0), whole("maximum", u64::MAX));
                // To JSON Schema 5.0 is as whole as 5 is.
                prop_oneof![
                    (min..=max).prop_map(Value::from),
                    (0..1_000_u32).prop_map(|n| json!(f64::from(n)))
                ]
                .boxed()
            }
            "string" => {
                let max = schema.get("maxLength").map(|max| max.as_u64().expect("a length"));
                texts(schema.get("pattern").and_then(|pattern| pattern.as_str()), whole("minLength", 0), max)
            }
            "array" => {
                let item = self.of_schema(schema["items"]);
                prop::collection::vec(item, 0..whole("maxItems", ENOUGH).min(ENOUGH) as usize)
                    .prop_map(Value::from)
                    .boxed()
            }
            _ => self.objects(schema),
        }
    }

    fn objects(&self, schema: &BTreeMap<&str, &Value>) -> BoxedStrategy<Value> {
        let required =
            schema.get("required").map(|keys| keys.as_array().expect("a list").clone()).unwrap_or_default();
        let mut object = Just(Map::new()).boxed();
        for (key, property) in
            schema.get("properties").and_then(|known| known.as_object()).into_iter().flatten()
        {
            let value = self.of_schema(property);
            let there =
                if required.contains(&json!(key)) { Just(true).boxed() } else { any::<bool>().boxed() };
            let key = key.clone();
            object = (object, value, there)
                .prop_map(move |(mut object, value, there)| {
                    object.extend(there.then(|| (key.clone(), value)));
                    object
                })
                .boxed();
        }
        let names = schema
            .get("propertyNames")
            .map_or_else(|| "x-[a-z]{1,9}".prop_map(Value::from).boxed(), |names| self.of_schema(names));
        let values =
            schema.get("additionalProperties").map_or_else(any_value, |values| self.of_schema(values));
        let more = prop::collection::vec((names, values), 0..ENOUGH as usize);
        (object, more)
            .prop_map(|(mut object, more)| {
                object.extend(
                    more.into_iter()
                        .map(|(name, value)| (name.as_str().unwrap_or_default().to_owned(), value)),
                );
                Value::Object(object)
            })
            .boxed()
    }
}

fn numbers(min: f64, max: f64) -> BoxedStrategy<Value> {
    prop_oneof![
        4 => (min..=max).prop_map(Value::from),
        1 => Just(json!(min)),
        1 => Just(json!(max)),
        1 => (min.ceil() as i64..=max.floor() as i64).prop_map(Value::from),
    ]
    .boxed()
}

fn texts(pattern: Option<&str>, min: u64, max: Option<u64>) -> BoxedStrategy<Value> {
    let length = move |text: &str| text.chars().count() as u64;
    let fits = move |text: &String| length(text) >= min && max.is_none_or(|max| length(text) <= max);
    if let Some(pattern) = pattern {
        let whole = pattern.strip_prefix('^').and_then(|pattern| pattern.strip_suffix('$'));
        let whole = whole.expect("a pattern of whole texts").replace(PREFIX_END, SHORT_PREFIX_END);
        let texts = string_regex(&whole).expect("a regular expression");
        return texts.prop_filter("its length", fits).prop_map(Value::from).boxed();
    }
    let edge = "ä".repeat(max.unwrap_or(99) as usize);
    let usual = prop::collection::vec(any::<char>(), min as usize..max.unwrap_or(40).min(40) as usize);
    let usual = usual.prop_map(|text| Value::from(text.into_iter().collect::<String>()));
    prop_oneof![9 => usual, 1 => Just(Value::from(edge))].boxed()
}

fn any_value() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,9}".prop_map(Value::from),
        Just(json!([1, {"a": null}])),
    ]
    .boxed()
}

fn one_of(strategies: impl Iterator<Item = BoxedStrategy<Value>>) -> BoxedStrategy<Value> {
    proptest::strategy::Union::new(strategies.collect::<Vec<_>>()).boxed()
}
