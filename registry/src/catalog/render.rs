//! Records as JSON: the bytes of the document, with what the registry adds laid in between. Nothing is parsed, and
//! nothing is formatted but the time of the last heartbeat.

use std::io::Write as _;

use mesh_api::health::Status;
use mesh_api::page::PageInfo;
use serde_json::{Map, Value};

use super::fuzzy::Score;
use super::layout::Span;
use super::record::Record;
use super::said::Said;
use super::vitals::Showing;

/// Writes the agent as it is answered, with what is shown of its vitals: the JSON of a [`mesh_api::agent::Agent`].
pub fn agent(record: &Record, shown: &Showing, status: Status, score: Option<Score>, out: &mut Vec<u8>) {
    let document = &*record.stored.document;
    let metadata = record.layout.metadata;
    match &shown.said {
        None => out.extend_from_slice(open_end(document.as_bytes())),
        Some(said) => {
            out.extend_from_slice(metadata.before(document));
            out.extend_from_slice(&overlaid(metadata.bytes(document), said));
            out.extend_from_slice(open_end(metadata.behind(document)));
        }
    }
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b"\",\"last_heartbeat\":");
    match shown.last_heartbeat() {
        // Writing to memory does not fail, here and below.
        Some(last) => drop(write!(out, "\"{last}\"")),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b',');
    out.extend_from_slice(record.tail.as_bytes());
    end(score, out);
}

/// Writes capability number `index` of the agent as it is answered: the JSON of a [`mesh_api::page::CapabilityRow`].
pub fn row(record: &Record, index: usize, status: Status, score: Option<Score>, out: &mut Vec<u8>) {
    let (document, layout) = (&*record.stored.document, &record.layout);
    let Some(capability) = layout.capabilities.get(index) else { return };
    // The brace that closes the capability makes room for the agent's fields.
    out.extend_from_slice(open_end(capability.span.bytes(document)));
    let mut part = |name: &[u8], span: Span| {
        out.extend_from_slice(name);
        out.extend_from_slice(span.bytes(document));
    };
    part(b",\"agent_id\":", layout.id);
    part(b",\"agent_name\":", layout.name);
    part(b",\"agent_namespace\":", layout.namespace);
    part(b",\"agent_endpoint\":", layout.endpoint);
    part(b",\"agent_labels\":", layout.labels);
    part(b",\"agent_weight\":", layout.weight);
    out.extend_from_slice(b",\"agent_status\":\"");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b'"');
    end(score, out);
}

/// Writes what follows the rows of a page, up to the end of the answer.
pub fn info(info: &PageInfo, out: &mut Vec<u8>) {
    let PageInfo { count, total, timestamp, resource_version, warm, continue_token } = info;
    let _ = write!(
        out,
        r#"],"count":{count},"total":{total},"timestamp":"{timestamp}","resource_version":{resource_version},"warm":{warm}"#
    );
    if let Some(token) = continue_token {
        // Tokens are letters, digits, '-' and '_'.
        let _ = write!(out, r#","continue":"{token}""#);
    }
    out.push(b'}');
}

fn end(score: Option<Score>, out: &mut Vec<u8>) {
    if let Some(score) = score {
        let _ = write!(out, ",\"score\":{:?}", score.share());
    }
    out.push(b'}');
}

/// An object's JSON without the brace at its end.
fn open_end(object: &[u8]) -> &[u8] {
    let object = object.trim_ascii_end();
    object.strip_suffix(b"}").unwrap_or(object)
}

/// What the registration said, with what heartbeats said laid over it.
fn overlaid(metadata: &[u8], said: &Said) -> Vec<u8> {
    if metadata == b"{}" {
        return said.json.clone().into_bytes();
    }
    let mut all = serde_json::from_slice::<Map<String, Value>>(metadata).unwrap_or_default();
    all.extend(said.metadata.iter().map(|(key, value)| (key.clone(), value.clone())));
    serde_json::to_vec(&all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use mesh_api::agent::{Agent, Registration};
    use mesh_api::heartbeat::Heartbeat;
    use mesh_api::page::CapabilityRow;
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::catalog::vitals::Vitals;
    use crate::health::AgentTypes;
    use crate::moment::Moment;
    use crate::store::change::Stored;

    fn record(registration: &Registration) -> Record {
        let stored = Stored {
            id: registration.id.as_str().into(),
            document: serde_json::to_string(registration).unwrap().into(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::from_millisecond(1_234).unwrap(),
            owner: Some("some\"body".into()),
            incarnation: 3,
            revision: 9,
        };
        let vitals = Arc::new(Vitals::unheard(Instant::now()));
        Record::new(Arc::new(stored), registration, &AgentTypes::default(), vitals).unwrap()
    }

    fn registration() -> Registration {
        let document = json!({
            "id": "a", "name": "Ä \"quoted\" }", "endpoint": "http://h:1/", "labels": {"zone": "x"}, "weight": 2,
            "metadata": {"load": 1, "kept": [1.5, null]}, "config": {"z": 1, "a": 2}, "security_context": {"k": "v"},
            "capabilities": [
                {"name": "b", "description": "{", "input_schema": {"type": "object"}, "annotations": {"readOnlyHint": true}},
                {"name": "a", "version": "2.0.0", "tags": ["t"]}, {"name": "a", "version": "1.0.0-rc.1"}
            ]
        });
        Registration::from_value(&document).unwrap().0
    }

    fn rendered<T: serde::de::DeserializeOwned>(render: impl FnOnce(&mut Vec<u8>)) -> T {
        let mut out = Vec::new();
        render(&mut out);
        serde_json::from_slice(&out)
            .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&out)))
    }

    #[test]
    fn an_agent_is_rendered_as_the_wire_type_is() {
        let registration = registration();
        let record = record(&registration);
        let score = Score::from_parts(5_432);
        let agent: Agent =
            rendered(|out| agent(&record, &record.vitals.showing(), Status::Pending, score, out));
        let expected = Agent {
            registration: registration.clone(),
            status: Status::Pending,
            last_heartbeat: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::from_millisecond(1_234).unwrap(),
            resource_version: 9,
            incarnation: 3,
            owner: Some("some\"body".to_owned()),
            score: Some(0.5432),
        };
        assert_eq!(agent, expected);
    }

    #[test]
    fn what_heartbeats_said_lies_over_what_the_registration_said() {
        let record = record(&registration());
        let heartbeat = json!({"agent_id": "a", "metadata": {"load": 7, "new": "\"}"}});
        record.vitals.beat(Heartbeat::from_value(&heartbeat).unwrap(), Moment::now()).unwrap();
        let agent: Agent =
            rendered(|out| agent(&record, &record.vitals.showing(), Status::Healthy, None, out));
        let metadata = Value::Object(agent.registration.metadata);
        assert_eq!(metadata, json!({"load": 7, "kept": [1.5, null], "new": "\"}"}));
        assert_eq!((agent.last_heartbeat, agent.score), (record.vitals.last_heartbeat(), None));
    }

    #[test]
    fn rows_are_rendered_as_the_wire_type_is_and_in_the_order_of_answers() {
        let registration = registration();
        let record = record(&registration);
        for (index, place) in [(0, 2), (1, 1), (2, 0)] {
            let row: CapabilityRow = rendered(|out| row(&record, index, Status::Degraded, None, out));
            let expected = CapabilityRow {
                capability: registration.capabilities[place].clone(),
                agent_id: "a".to_owned(),
                agent_name: registration.name.clone(),
                agent_namespace: "default".to_owned(),
                agent_status: Status::Degraded,
                agent_endpoint: registration.endpoint.clone(),
                agent_labels: registration.labels.clone(),
                agent_weight: 2.0,
                score: None,
            };
            assert_eq!(row, expected);
        }
    }
}
