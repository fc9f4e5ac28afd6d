//! The schemas are true: what they accept, the readers accept.

#![cfg(test)]

mod documents;

use mesh_api::agent::Registration;
use mesh_api::heartbeat::Heartbeat;
use mesh_api::schema;
use proptest::prelude::*;
use serde_json::{Value, json};

use self::documents::Documents;

/// Mends what the schema of a registration says in words only.
fn keep_the_rules_in_words(document: &mut Value) {
    if let Some(capabilities) = document.get_mut("capabilities").and_then(Value::as_array_mut) {
        for (i, capability) in capabilities.iter_mut().enumerate() {
            capability["version"] = json!(format!("{i}.0.0"));
        }
    }
    if let (Some(timeout), Some(eviction)) =
        (document["timeout_threshold"].as_f64(), document["eviction_threshold"].as_f64())
    {
        document["timeout_threshold"] = json!(timeout.min(eviction));
    }
}

fn faults<T>(read: Result<T, Vec<mesh_api::error::Fault>>) -> Vec<String> {
    read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_registration_that_the_schema_accepts_is_read(
        mut document in Documents::of(schema::of_input::<Registration>()).strategy()
    ) {
        keep_the_rules_in_words(&mut document);
        let read = Registration::from_value(&document);
        prop_assert_eq!(faults(read.clone()), Vec::<String>::new(), "{}", document);
        let (registration, _) = read.unwrap();
        let written = serde_json::to_value(&registration).unwrap();
        prop_assert_eq!(Registration::from_value(&written).unwrap(), (registration, Vec::new()));
    }

    #[test]
    fn a_heartbeat_that_the_schema_accepts_is_read(
        document in Documents::of(schema::of_input::<Heartbeat>()).strategy()
    ) {
        prop_assert_eq!(faults(Heartbeat::from_value(&document)), Vec::<String>::new(), "{}", document);
    }
}

#[test]
fn only_what_identifies_and_reaches_an_agent_is_required() {
    let schema = schema::of_input::<Registration>();
    assert_eq!(schema["required"], json!(["id", "endpoint"]));
    assert_eq!(schema["properties"]["health_interval"]["default"], 30.0);
    assert_eq!(schema["properties"]["namespace"]["default"], "default");
    assert!(schema["properties"]["name"].get("default").is_none());
}

#[test]
fn the_older_name_of_the_input_schema_is_read_and_never_written() {
    let capability = |schema: Value| schema["$defs"]["Capability"]["properties"]["parameters_schema"].clone();
    assert_eq!(capability(schema::of_input::<Registration>())["type"], json!(["object", "null"]));
    assert!(capability(schema::of_output::<Registration>()).is_null());
}
