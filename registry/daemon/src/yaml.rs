//! Reads YAML into JSON values without losing where each of them stood.
//!
//! Configuration files and manifests are read here. A duplicate key is a fault with its line, as is everything the
//! reader of the value finds later: [`Places`] turns a path into `file:line:column`.

use std::collections::HashMap;
use std::fmt;

use mesh_api::document::quoted;
use mesh_api::error::Fault;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_yaml::options::DuplicateKeyPolicy;
use serde_yaml::{Location, Spanned};

/// A YAML document as JSON, and the places of its parts.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it says; `{}` for an empty document.
    pub value: Value,
    /// Where it says it.
    pub places: Places,
    /// Keys that stand twice.
    pub faults: Vec<Fault>,
}

/// Where the parts of a document stand.
#[derive(Debug, Clone, Default)]
pub struct Places {
    file: String,
    by_path: HashMap<String, (u64, u64)>,
}

/// Parses `text`, which is called `file` in messages.
///
/// # Errors
/// What is no YAML about it, with the lines around the fault.
pub fn parse(text: &str, file: &str) -> Result<Document, String> {
    let options =
        serde_yaml::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough, strict_booleans: true };
    let root: Option<Spanned<Node>> =
        serde_yaml::from_str_with_options(text, options).map_err(|fault| format!("{file}: {fault}"))?;
    let places = Places { file: file.to_owned(), by_path: HashMap::new() };
    let mut document = Document { value: Value::Null, places, faults: Vec::new() };
    document.value = match root {
        Some(root) => document.take(root, ""),
        None => Value::Object(Map::new()),
    };
    Ok(document)
}

/// Reads a flag or an environment variable: a number, a boolean, a `{…}` or a `[…]`, else the text itself.
///
/// Nothing else is taken for YAML: `memory:` is a word, not a map.
pub fn scalar(text: &str) -> Value {
    let is_flow = text.trim_start().starts_with(['{', '[']);
    match parse(text, "") {
        Ok(Document { value, faults, .. }) if is_flow && faults.is_empty() => value,
        Ok(Document { value: value @ (Value::Number(_) | Value::Bool(_)), .. }) => value,
        _ => Value::String(text.to_owned()),
    }
}

// === impl Document ===

impl Document {
    fn take(&mut self, node: Spanned<Node>, path: &str) -> Value {
        self.places.note(path, node.referenced);
        match node.value {
            Node::Scalar(value) => value,
            Node::List(items) => (0..)
                .zip(items)
                .map(|(i, item): (usize, _)| self.take(item, &format!("{path}[{i}]")))
                .collect(),
            Node::Map(entries) => {
                let mut object = Map::new();
                for (key, node) in entries {
                    let at =
                        if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                    if object.contains_key(&key.value) {
                        let (first, _) = self.places.by_path.get(&at).copied().unwrap_or_default();
                        let second = key.referenced.line();
                        self.faults
                            .push(Fault::new(at, format!("stands twice, in lines {first} and {second}")));
                        continue;
                    }
                    let value = self.take(node, &at);
                    self.places.note(&at, key.referenced);
                    object.insert(key.value, value);
                }
                Value::Object(object)
            }
        }
    }
}

// === impl Places ===

impl Places {
    /// `file:line:column` of `path`, or of the nearest part around it that stands in the file.
    pub fn of(&self, path: &str) -> String {
        let mut path = path;
        loop {
            if let Some((line, column)) = self.by_path.get(path) {
                return format!("{}:{line}:{column}", self.file);
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = &path[..cut],
                None => return self.file.clone(),
            }
        }
    }

    fn note(&mut self, path: &str, location: Location) {
        self.by_path.insert(path.to_owned(), (location.line(), location.column()));
    }
}

/// A YAML node whose parts know their places.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value that JSON can express")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        match serde_json::Number::from_f64(value) {
            Some(number) => Ok(Node::Scalar(number.into())),
            None => Err(E::custom(format!("{} is not a finite number", quoted(&value.to_string())))),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str =
        "id: a\nlabels:\n  env: prod\n  env: test\nlist:\n  - name: x\n  - {name: y, on: true, n: 1.5}\n";

    #[test]
    fn values_and_their_places_survive() {
        let document = parse(TEXT, "m.yaml").unwrap();
        assert_eq!(document.value["list"], json!([{"name": "x"}, {"name": "y", "on": true, "n": 1.5}]));
        assert_eq!(document.places.of("labels.env"), "m.yaml:3:3");
        assert_eq!(document.places.of("list[1].name"), "m.yaml:7:6");
        assert_eq!(document.places.of("list[0].missing"), "m.yaml:6:5");
        assert_eq!(document.places.of("missing"), "m.yaml");
    }

    #[test]
    fn a_key_that_stands_twice_is_a_fault() {
        let faults = parse(TEXT, "m.yaml").unwrap().faults;
        assert_eq!(faults[0].to_string(), "'labels.env' stands twice, in lines 3 and 4");
    }

    #[test]
    fn what_is_no_yaml_is_an_error_with_its_place() {
        let fault = parse("a: [1,\nb: {", "m.yaml").unwrap_err();
        assert!(fault.starts_with("m.yaml: ") && fault.contains("line"), "{fault}");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (this, last) in "bcdefghi".chars().zip("abcdefgh".chars()) {
            bomb.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 10].join(",")));
        }
        assert!(parse(&bomb, "m.yaml").is_err());
    }

    #[test]
    fn flags_are_read_as_what_they_look_like() {
        assert_eq!(scalar("30"), json!(30));
        assert_eq!(scalar("{worker: {a: 1}}"), json!({"worker": {"a": 1}}));
        assert_eq!(scalar("127.0.0.1:8000"), json!("127.0.0.1:8000"));
        for word in ["file:./mesh-data", "memory:", "", "null", "a: b"] {
            assert_eq!(scalar(word), json!(word));
        }
    }
}
