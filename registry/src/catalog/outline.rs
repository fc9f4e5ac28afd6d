//! The outline of a registration: what queries, filters and thresholds ask for. The rest (schemas, configuration, notes)
//! is passed over when a document is read, which halves the time, and is not kept beside the document. Pure.

use std::collections::BTreeMap;

use mesh_api::agent::Registration;
use mesh_api::capability::{Capability, Stability, ToolHints};
use mesh_api::dependency::Dependency;
use semver::Version;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Reads the outline of `document`: what is passed over is empty.
///
/// # Errors
/// When it is no registration.
pub fn read(document: &str) -> serde_json::Result<Registration> {
    serde_json::from_str::<Outlined>(document).map(|Outlined(registration)| registration)
}

#[derive(Deserialize)]
struct Outlined(#[serde(with = "Outline")] Registration);

#[derive(Deserialize)]
struct OutlinedCapability(#[serde(with = "CapabilityOutline")] Capability);

#[derive(Deserialize)]
#[serde(remote = "Registration")]
struct Outline {
    id: String,
    name: String,
    namespace: String,
    agent_type: String,
    #[serde(skip)]
    endpoint: String,
    #[serde(deserialize_with = "capabilities")]
    capabilities: Vec<Capability>,
    labels: BTreeMap<String, String>,
    #[serde(skip)]
    annotations: BTreeMap<String, String>,
    #[serde(skip)]
    dependencies: Vec<Dependency>,
    health_interval: f64,
    #[serde(default)]
    timeout_threshold: Option<f64>,
    #[serde(default)]
    eviction_threshold: Option<f64>,
    #[serde(skip)]
    security_context: Option<Value>,
    #[serde(skip)]
    config: Map<String, Value>,
    #[serde(skip)]
    weight: f64,
    #[serde(skip)]
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(remote = "Capability")]
struct CapabilityOutline {
    name: String,
    version: Version,
    description: Option<String>,
    category: Option<String>,
    tags: Vec<String>,
    stability: Stability,
    #[serde(skip)]
    input_schema: Option<Map<String, Value>>,
    #[serde(skip)]
    output_schema: Option<Map<String, Value>>,
    #[serde(skip)]
    annotations: ToolHints,
    #[serde(skip)]
    compatibility_versions: Vec<Version>,
}

fn capabilities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Capability>, D::Error> {
    let outlined = Vec::<OutlinedCapability>::deserialize(deserializer)?;
    Ok(outlined.into_iter().map(|OutlinedCapability(capability)| capability).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_for_is_there_and_the_rest_is_not() {
        let asked_for = json!({
            "id": "a", "name": "A", "namespace": "n", "agent_type": "worker", "labels": {"zone": "x"},
            "health_interval": 0.5, "timeout_threshold": 3, "eviction_threshold": 9.5,
            "capabilities": [
                {"name": "b", "version": "2.0.0-rc.1", "description": "does b", "category": "c", "tags": ["t", "u"], "stability": "beta"},
                {"name": "a"},
            ]
        });
        let mut whole = asked_for.clone();
        whole.as_object_mut().unwrap().extend(
            json!({
                "endpoint": "http://h:1/", "config": {"a": [1]}, "metadata": {"b": {}}, "annotations": {"c": "d"},
                "security_context": {"e": 1}, "weight": 3, "dependencies": [{"capability": "f"}]
            })
            .as_object()
            .unwrap()
            .clone(),
        );
        for capability in whole["capabilities"].as_array_mut().unwrap() {
            let schema = json!({"type": "object"});
            capability["input_schema"] = schema.clone();
            capability["output_schema"] = schema;
            capability["annotations"] = json!({"title": "t"});
        }
        let whole = Registration::from_value(&whole).unwrap().0;
        let outline = read(&serde_json::to_string(&whole).unwrap()).unwrap();
        let mut expected = whole;
        expected.endpoint.clear();
        expected.config.clear();
        expected.metadata.clear();
        expected.annotations.clear();
        expected.dependencies.clear();
        expected.security_context = None;
        expected.weight = 0.0;
        for capability in &mut expected.capabilities {
            capability.input_schema = None;
            capability.output_schema = None;
            capability.annotations = ToolHints::default();
        }
        assert_eq!(outline, expected);
    }

    #[test]
    fn what_is_no_registration_has_no_outline() {
        assert!(read("{}").is_err() && read("").is_err());
    }
}
