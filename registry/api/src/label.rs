//! Kubernetes' rules for label keys, label values and the names of namespaces.
//!
//! Source: Kubernetes documentation, "Labels and Selectors" and "Object Names and IDs".

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::document::{Findings, kind, quoted};

/// Longest name, value or DNS label.
pub const MAX_NAME: usize = 63;
/// Longest prefix of a key, a DNS subdomain.
pub const MAX_PREFIX: usize = 253;
/// Most labels of one agent.
pub const MAX_LABELS: usize = 64;
/// Largest sum of all annotation keys and values of one agent, in bytes.
pub const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

/// The rule for keys, for error messages.
pub const KEY_RULE: &str =
    "a label key: [prefix/]name, name of 1 to 63 letters, digits, '-', '_' or '.', alphanumeric at both ends";
/// The rule for values, for error messages.
pub const VALUE_RULE: &str =
    "a label value: empty, or 1 to 63 letters, digits, '-', '_' or '.', alphanumeric at both ends";

/// What is a DNS label, as a regular expression.
pub(crate) const DNS_LABEL_PATTERN: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
/// The rule for keys, as a regular expression.
const KEY_PATTERN: &str = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$";
/// The rule for values, as a regular expression.
const VALUE_PATTERN: &str = "^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$";

/// The schema of a map of labels.
pub(crate) fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    map_schema(json!({
        "maxProperties": MAX_LABELS,
        "additionalProperties": {"type": "string", "pattern": VALUE_PATTERN},
    }))
}

/// The schema of a map of annotations.
pub(crate) fn annotations_schema(_: &mut SchemaGenerator) -> Schema {
    map_schema(json!({"additionalProperties": {"type": "string"}}))
}

/// A map with keys as the rule demands; `values` says the rest.
fn map_schema(values: Value) -> Schema {
    let mut schema = json_schema!({
        "type": "object",
        "propertyNames": {"type": "string", "pattern": KEY_PATTERN, "maxLength": MAX_PREFIX + 1 + MAX_NAME},
    });
    schema.ensure_object().extend(values.as_object().cloned().unwrap_or_default());
    schema
}

/// Whether `key` may be the key of a label or an annotation.
pub fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

/// Whether `value` may be the value of a label.
pub fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// Whether `text` is a DNS label, as namespaces are.
pub fn is_dns_label(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    framed(text, MAX_NAME, edge, |byte| edge(byte) || byte == b'-')
}

/// Reads a map of labels.
pub fn read_labels(value: &Value, at: &str, findings: &mut Findings) -> Option<BTreeMap<String, String>> {
    read_map(value, at, findings, |value| {
        if is_value(value) { Ok(()) } else { Err(format!("must be {VALUE_RULE}, got {}", quoted(value))) }
    })
}

/// Reads a map of annotations: keys as for labels, any text as value, 256 KiB in all.
pub fn read_annotations(
    value: &Value,
    at: &str,
    findings: &mut Findings,
) -> Option<BTreeMap<String, String>> {
    let annotations = read_map(value, at, findings, |_| Ok(()))?;
    let bytes: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_ANNOTATIONS_BYTES {
        findings.fault(at, format!("must be at most {MAX_ANNOTATIONS_BYTES} bytes in all, got {bytes}"));
        return None;
    }
    Some(annotations)
}

fn read_map(
    value: &Value,
    at: &str,
    findings: &mut Findings,
    accept: impl Fn(&str) -> Result<(), String>,
) -> Option<BTreeMap<String, String>> {
    let Value::Object(object) = value else {
        findings.fault(at, format!("must be an object of strings, got {}", kind(value)));
        return None;
    };
    let mut map = BTreeMap::new();
    for (key, value) in object {
        let at = format!("{at}.{key}");
        if !is_key(key) {
            findings.fault(at, format!("must have {KEY_RULE}"));
            continue;
        }
        match value.as_str().map(|text| (text, accept(text))) {
            Some((text, Ok(()))) => {
                map.insert(key.clone(), text.to_owned());
            }
            Some((_, Err(message))) => findings.fault(at, message),
            None => findings.fault(at, format!("must be a string, got {}", kind(value))),
        }
    }
    Some(map)
}

fn is_name(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_alphanumeric();
    framed(text, MAX_NAME, edge, |byte| edge(byte) || matches!(byte, b'-' | b'_' | b'.'))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_PREFIX && text.split('.').all(is_dns_label)
}

/// Whether `text` is 1 to `max` bytes that all satisfy `inner`, with `edge` at both ends.
fn framed(text: &str, max: usize, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            bytes.len() <= max && edge(first) && edge(last) && bytes.iter().all(|&byte| inner(byte))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_the_rules_of_kubernetes() {
        for key in ["env", "app.kubernetes.io/name", "a", "A_b-c.9"] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "-env", "env-", "a b", "UPPER.io/name", "a/b/c", "/name", "prefix/"] {
            assert!(!is_key(key), "{key}");
        }
        assert!(!is_key(&"k".repeat(64)) && is_value(&"v".repeat(63)) && is_value(""));
    }
}
