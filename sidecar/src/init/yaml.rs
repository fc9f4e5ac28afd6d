//! JSON values as YAML that a manifest is made of.
//!
//! Every text is quoted, and whatever could be seen as something else is escaped: a text of strangers cannot end its
//! quotes, begin a line, name a variable of ours, or look to a person like what it is not.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Words that are no texts to YAML, or were none to older readers of it.
const NO_KEYS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
/// Spaces by which the inside of something stands further right.
const STEP: usize = 2;

/// Writes `key: value` and what is inside of the value, `indent` spaces from the left.
pub(super) fn entry(out: &mut String, indent: usize, key: &str, value: &Value) {
    // Writing to a string does not fail.
    let _ = write!(out, "{:indent$}{}:", "", self::key(key));
    match value {
        Value::Object(object) if !object.is_empty() => {
            out.push('\n');
            entries(out, indent + STEP, object);
        }
        Value::Array(items) if items.iter().all(is_filled) && !items.is_empty() => {
            out.push('\n');
            items.iter().filter_map(Value::as_object).for_each(|object| item(out, indent + STEP, object));
        }
        value => {
            let _ = writeln!(out, " {}", flow(value));
        }
    }
}

fn entries(out: &mut String, indent: usize, object: &Map<String, Value>) {
    object.iter().for_each(|(key, value)| entry(out, indent, key, value));
}

/// An object of a list: its first entry stands behind the dash.
fn item(out: &mut String, indent: usize, object: &Map<String, Value>) {
    let mut inside = String::new();
    entries(&mut inside, indent + STEP, object);
    let _ = write!(out, "{:indent$}- {}", "", inside.trim_start());
}

fn is_filled(value: &Value) -> bool {
    value.as_object().is_some_and(|object| !object.is_empty())
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => self::text(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(object) => {
            let pairs = object.iter().map(|(key, value)| format!("{}: {}", self::key(key), flow(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn key(key: &str) -> String {
    let is_word = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !NO_KEYS.iter().any(|word| key.eq_ignore_ascii_case(word));
    if is_word { key.to_owned() } else { quoted(key) }
}

/// A text as the manifest's reader takes it for itself: `${` would begin a variable there, so its dollar becomes the
/// default of a variable without a name.
fn text(text: &str) -> String {
    quoted(&text.replace("${", "${:-$}{"))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if is_deceptive(c) => {
                let _ = match c as u32 {
                    code @ ..=0xff => write!(quoted, "\\x{code:02x}"),
                    code @ ..=0xffff => write!(quoted, "\\u{code:04x}"),
                    code => write!(quoted, "\\U{code:08x}"),
                };
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Whether a character is not seen, or changes how others are seen: control characters, other spaces and line ends, what
/// has no width, what turns the direction of writing, and what is no character.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}' | '\u{e0000}'..='\u{e007f}')
        || matches!(c as u32 & 0xffff, 0xfffe | 0xffff)
}

#[cfg(test)]
mod tests {
    use mesh_daemon::yaml::parse;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(value: &Value) -> String {
        let mut out = String::new();
        entries(&mut out, 0, value.as_object().unwrap());
        out
    }

    #[test]
    fn values_are_written_as_a_person_would() {
        let value = json!({
            "id": "a", "n": 1, "empty": [], "tags": ["x", "y"],
            "list": [{"name": "x", "annotations": {"readOnlyHint": true}}, {"name": "y", "a/b": {}}],
        });
        assert_eq!(
            written(&value),
            "id: \"a\"\n\"n\": 1\nempty: []\ntags: [\"x\", \"y\"]\nlist:\n  - name: \"x\"\n    annotations:\n      \
             readOnlyHint: true\n  - name: \"y\"\n    \"a/b\": {}\n"
        );
    }

    #[test]
    fn what_is_not_seen_is_shown() {
        let text = written(&json!({"a": "\u{202e}\u{200b}\u{85}\t\r\u{0}\u{1f600}\u{e0041}\u{a0}"}));
        assert_eq!(text, "a: \"\\u202e\\u200b\\x85\\x09\\x0d\\x00\u{1f600}\\U000e0041\\xa0\"\n");
    }

    /// Any JSON, with the characters that YAML treats in its own way among the likely ones.
    fn documents() -> impl Strategy<Value = Value> {
        let likely = proptest::sample::select(
            ":#-?!&*|>%@`'\"\\{}[],\n\r\t ~=<\u{85}\u{2028}\u{feff}ä1a".chars().collect::<Vec<_>>(),
        );
        // What would be a variable is written so that it is none, which is tested with the manifest that expands them.
        let c = prop_oneof![4 => likely, 1 => any::<char>().prop_filter("a variable", |c| *c != '$')];
        let text =
            proptest::collection::vec(c, 0..12).prop_map(|chars| chars.into_iter().collect::<String>());
        let scalar = prop_oneof![
            text.clone().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::sample::select(vec![
                "null",
                "true",
                "1.5",
                "no",
                "~",
                "0x10",
                "---",
                "<<",
                "2026-01-01"
            ])
            .prop_map(Value::from),
        ];
        let inner = scalar.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(text.clone(), inner, 0..4).prop_map(|map| json!(map)),
            ]
        });
        proptest::collection::btree_map("[^$\n]{1,4}", inner, 0..4).prop_map(|map| json!(map))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn what_is_written_is_read_as_what_it_was(value in documents()) {
            let text = written(&value);
            let read = parse(&text, "m.yaml");
            prop_assert!(read.is_ok(), "{:?}\n{}", read, text);
            prop_assert_eq!(read.unwrap().value, value, "{}", text);
        }
    }
}
