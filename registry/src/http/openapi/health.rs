//! Operations on health: signs of life, and what they say.

use axum::http::Method;
use mesh_api::health::AgentHealth;
use mesh_api::heartbeat::{Heartbeat, HeartbeatAnswer};
use mesh_api::route;
use mesh_api::schema::Components;
use serde_json::{Value, json};

use super::super::health::Probe;
use super::super::heartbeat::{Item, MAX_BATCH};
use super::answers::{BAD_BODY, BAD_PATH, JSON, NO_AGENT, STARTING, UNCERTAIN, ok};
use super::examples;
use super::operation::{Answer, Body, Operation};
use super::parameters::AGENT_ID;
use crate::condition::RegistryHealth;

const GROUP: &str = "Health";

pub(super) static OPERATIONS: [Operation; 5] = [
    Operation {
        method: Method::POST,
        path: route::HEARTBEAT,
        id: "sendHeartbeat",
        group: GROUP,
        summary: "Give a sign of life",
        description: "The answer says when the registry wants to hear the agent again. A list of heartbeats is answered \
                      with a list: each item by itself, with the status it would have had alone.",
        parameters: &[],
        body: Some(Body {
            description: "One heartbeat, or a list of them.",
            schema: one_or_many,
            is_required: true,
            examples: &[("one", examples::heartbeat), ("many", examples::batch)],
        }),
        answers: &[&[ok("It was heard.", &[(JSON, heard)])], BAD_BODY, NO_AGENT, UNCERTAIN],
    },
    Operation {
        method: Method::GET,
        path: route::HEALTH,
        id: "getHealth",
        group: GROUP,
        summary: "Health of the registry",
        description: "Degraded with reasons while the store cannot be written or while no agent expires.",
        parameters: &[],
        body: None,
        answers: &[&[
            ok("Agents can register and be found.", HEALTH),
            Answer {
                content: HEALTH,
                ..Answer::bare(503, "The store cannot be written: agents can be found only.")
            },
        ]],
    },
    Operation {
        method: Method::GET,
        path: route::AGENT_HEALTH,
        id: "getAgentHealth",
        group: GROUP,
        summary: "Health of an agent",
        description: "Its status, and the silence after which it changes. Durations are seconds.",
        parameters: &[AGENT_ID],
        body: None,
        answers: &[
            &[ok("What its heartbeats say.", &[(JSON, Components::output::<AgentHealth>)])],
            BAD_PATH,
            NO_AGENT,
        ],
    },
    Operation {
        method: Method::GET,
        path: route::LIVEZ,
        id: "probeLiveness",
        group: GROUP,
        summary: "Is the process alive",
        description: "For probes: who gets no answer should start the process again.",
        parameters: &[],
        body: None,
        answers: &[&[ok("It is.", &[(JSON, Components::output::<Probe>)])]],
    },
    Operation {
        method: Method::GET,
        path: route::READYZ,
        id: "probeReadiness",
        group: GROUP,
        summary: "Can the process serve",
        description: "For probes. Until all agents are loaded, this and everything else but `/livez` is answered with 503.",
        parameters: &[],
        body: None,
        answers: &[&[ok("It can.", &[(JSON, Components::output::<Probe>)])], STARTING],
    },
];

const HEALTH: &[(&str, super::operation::Schema)] = &[(JSON, Components::output::<RegistryHealth>)];

/// Whatever is in a list is answered item by item, so a list is refused as a whole only when it is too long.
fn one_or_many(components: &mut Components) -> Value {
    let one = components.input::<Heartbeat>();
    json!({"anyOf": [one, {"type": "array", "items": {"anyOf": [one, true]}, "maxItems": MAX_BATCH}]})
}

fn heard(components: &mut Components) -> Value {
    let (one, item) = (components.output::<HeartbeatAnswer>(), components.output::<Item>());
    json!({"anyOf": [one, {"type": "array", "items": item}]})
}
