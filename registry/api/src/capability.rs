//! A capability: one thing an agent can do, as it stands in registrations and in answers.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::document::{self, Fields, Findings, boolean, string, text, word};
use crate::version::{self, VersionConstraint, parse_version};

/// Longest capability name.
pub const MAX_NAME: usize = 128;
/// Longest description, and longest title, in characters.
pub const MAX_DESCRIPTION: usize = 16_384;
const MAX_TAGS: usize = 64;
const MAX_WORD: usize = 128;

/// One thing an agent can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = add_parameters_schema)]
pub struct Capability {
    /// What callers ask for, and the name of the agent's tool.
    #[schemars(extend("pattern" = NAME_PATTERN))]
    pub name: String,
    /// Semantic version.
    #[schemars(default = "default_version", schema_with = "version::version_schema")]
    pub version: Version,
    /// What it does, for people and models.
    #[schemars(length(max = MAX_DESCRIPTION))]
    pub description: Option<String>,
    /// The group it belongs to.
    #[schemars(length(min = 1, max = MAX_WORD))]
    pub category: Option<String>,
    /// Words to find it by.
    #[schemars(default, length(max = MAX_TAGS), inner(length(min = 1, max = MAX_WORD)))]
    pub tags: Vec<String>,
    /// How much callers may rely on it.
    #[schemars(default)]
    pub stability: Stability,
    /// JSON Schema of the arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Map<String, Value>>,
    /// JSON Schema of the structured result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Map<String, Value>>,
    /// What a caller may assume about calling it.
    #[serde(default, skip_serializing_if = "ToolHints::is_empty")]
    pub annotations: ToolHints,
    /// Other versions that callers of this one can use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_TAGS), schema_with = "version::versions_schema")]
    pub compatibility_versions: Vec<Version>,
}

/// How much callers may rely on a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stability {
    /// Will not change without a new major version.
    #[default]
    Stable,
    /// Nearly there.
    Beta,
    /// Changes often.
    Alpha,
    /// May vanish.
    Experimental,
    /// Will vanish.
    Deprecated,
}

/// The hints of an MCP tool. An absent hint promises nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolHints {
    /// A title for people.
    #[schemars(length(max = MAX_DESCRIPTION))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Calling it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// Calling it twice with the same arguments does no more than calling it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// Calling it may destroy something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// It deals with things outside the agent's own world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

/// What one capability must be like. All conditions must hold for the same capability.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CapabilityFilter {
    /// Exact, case-sensitive name.
    pub name: Option<String>,
    /// Exact category.
    pub category: Option<String>,
    /// Exact stability.
    pub stability: Option<Stability>,
    /// Tags, all of which it must have.
    pub tags: Vec<String>,
    /// Versions that will do.
    pub version: Option<VersionConstraint>,
}

// === impl Capability ===

impl Capability {
    /// Reads a capability of a registration document.
    pub fn read(value: &Value, at: &str, findings: &mut Findings) -> Option<Self> {
        let mut fields = Fields::open(value, at, findings)?;
        let name = fields.required("name", word(NAME_RULE, is_name));
        let version = fields.optional("version", |value| parse_version(&string(value)?));
        let input_schema = fields.optional("input_schema", document::object);
        let parameters_schema = fields.optional("parameters_schema", document::object);
        let capability = Self {
            name: name.unwrap_or_default(),
            version: version.unwrap_or_else(default_version),
            description: fields.optional("description", text(0, MAX_DESCRIPTION)),
            category: fields.optional("category", text(1, MAX_WORD)),
            tags: read_tags(&mut fields),
            stability: fields.optional("stability", document::parsed).unwrap_or_default(),
            input_schema: input_schema.or(parameters_schema),
            output_schema: fields.optional("output_schema", document::object),
            annotations: fields.nested("annotations", ToolHints::read).unwrap_or_default(),
            compatibility_versions: fields.list("compatibility_versions", MAX_TAGS, |value, at, findings| {
                string(value)
                    .and_then(|text| parse_version(&text))
                    .map_err(|fault| findings.fault(at, fault))
                    .ok()
            }),
        };
        fields.close();
        Some(capability)
    }
}

/// Reads the capabilities of one document, one after the other: no two may have the same name and version.
pub fn reader() -> impl FnMut(&Value, &str, &mut Findings) -> Option<Capability> {
    let mut seen = HashSet::new();
    move |value, at, findings| {
        let capability = Capability::read(value, at, findings)?;
        let Capability { name, version, .. } = &capability;
        if !name.is_empty() && !seen.insert((name.clone(), version.clone())) {
            findings.fault(at, format!("repeats {name} {version}"));
        }
        Some(capability)
    }
}

/// Whether `name` may be the name of a capability.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// The rule for the names of capabilities, for error messages.
pub const NAME_RULE: &str = "a letter followed by letters, digits, '_', '.' or '-', 128 characters at most";

/// The rule for the names of capabilities, as a regular expression.
pub const NAME_PATTERN: &str = "^[A-Za-z][A-Za-z0-9_.-]{0,127}$";

const fn default_version() -> Version {
    Version::new(1, 0, 0)
}

/// Adds the key that is read and never answered.
fn add_parameters_schema(schema: &mut Schema) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let old = json!({
            "type": "object", "additionalProperties": true, "writeOnly": true, "deprecated": true,
            "description": "The older name of `input_schema`, which wins when both are there.",
        });
        properties.insert("parameters_schema".to_owned(), old);
    }
}

fn read_tags(fields: &mut Fields<'_, '_>) -> Vec<String> {
    fields.list("tags", MAX_TAGS, |value, at, findings| {
        text(1, MAX_WORD)(value).map_err(|fault| findings.fault(at, fault)).ok()
    })
}

// === impl Stability ===

impl Stability {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Beta => "beta",
            Self::Alpha => "alpha",
            Self::Experimental => "experimental",
            Self::Deprecated => "deprecated",
        }
    }
}

impl fmt::Display for Stability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stability {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        [Self::Stable, Self::Beta, Self::Alpha, Self::Experimental, Self::Deprecated]
            .into_iter()
            .find(|stability| stability.as_str() == text)
            .ok_or("must be one of stable, beta, alpha, experimental, deprecated")
    }
}

// === impl ToolHints ===

impl ToolHints {
    /// Whether calling the tool twice is as good as calling it once.
    pub fn is_safe_to_repeat(&self) -> bool {
        self.read_only_hint == Some(true) || self.idempotent_hint == Some(true)
    }

    /// Whether nothing is promised.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read(value: &Value, at: &str, findings: &mut Findings) -> Option<Self> {
        let mut fields = Fields::open(value, at, findings)?;
        let hints = Self {
            title: fields.optional("title", text(0, MAX_DESCRIPTION)),
            read_only_hint: fields.optional("readOnlyHint", boolean),
            idempotent_hint: fields.optional("idempotentHint", boolean),
            destructive_hint: fields.optional("destructiveHint", boolean),
            open_world_hint: fields.optional("openWorldHint", boolean),
        };
        fields.close();
        Some(hints)
    }
}

// === impl CapabilityFilter ===

impl CapabilityFilter {
    /// Whether every condition holds for `capability`.
    pub fn matches(&self, capability: &Capability) -> bool {
        self.name.as_ref().is_none_or(|name| *name == capability.name)
            && self.category.as_ref().is_none_or(|category| Some(category) == capability.category.as_ref())
            && self.stability.is_none_or(|stability| stability == capability.stability)
            && self.tags.iter().all(|tag| capability.tags.contains(tag))
            && self.version.as_ref().is_none_or(|version| version.matches(&capability.version))
    }

    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Result<Capability, Vec<String>> {
        let mut findings = Findings::default();
        let capability = Capability::read(value, "c", &mut findings);
        findings
            .conclude(capability)
            .map(|(capability, _)| capability)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_filled_in_and_the_old_schema_name_is_read() {
        let capability =
            read(&json!({"name": "process_data", "parameters_schema": {"type": "object"}})).unwrap();
        assert_eq!(
            (capability.version.to_string().as_str(), capability.stability),
            ("1.0.0", Stability::Stable)
        );
        assert_eq!(capability.input_schema.unwrap()["type"], "object");
    }

    #[test]
    fn every_fault_is_named_with_its_path() {
        let faults = read(&json!({
            "name": "9lives", "version": "1.2", "stability": "solid", "tags": ["ok", 3],
            "annotations": {"readOnlyHint": "yes"}
        }))
        .unwrap_err();
        let paths =
            ["'c.name'", "'c.version'", "'c.tags[1]'", "'c.stability'", "'c.annotations.readOnlyHint'"];
        assert_eq!(faults.len(), paths.len(), "{faults:?}");
        for path in paths {
            assert!(faults.iter().any(|fault| fault.starts_with(path)), "{path} in {faults:?}");
        }
    }

    #[test]
    fn the_same_name_and_version_twice_is_a_fault_where_it_stands() {
        let (mut findings, mut read) = (Findings::default(), reader());
        for (at, version) in [("c[0]", "1.0.0"), ("c[1]", "2.0.0"), ("c[2]", "1.0.0")] {
            assert!(read(&json!({"name": "a", "version": version}), at, &mut findings).is_some());
        }
        let faults = findings.faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(faults, ["'c[2]' repeats a 1.0.0"]);
    }

    #[test]
    fn one_capability_must_satisfy_all_conditions() {
        let filter = CapabilityFilter {
            tags: vec!["data".into(), "async".into()],
            version: Some("^1.0.0".parse().unwrap()),
            ..CapabilityFilter::default()
        };
        let with = |version: &str, tags: Value| {
            read(&json!({"name": "a", "version": version, "tags": tags})).unwrap()
        };
        assert!(filter.matches(&with("1.4.0", json!(["async", "data", "x"]))));
        assert!(!filter.matches(&with("2.0.0", json!(["async", "data"]))));
        assert!(!filter.matches(&with("1.4.0", json!(["data"]))));
    }
}
