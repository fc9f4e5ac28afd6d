//! Operations on agents and capabilities.

use axum::http::Method;
use mesh_api::agent::{Agent, Registered, Registration, Unregistered};
use mesh_api::page::{AgentPage, CapabilityPage};
use mesh_api::route;
use mesh_api::schema::Components;
use serde_json::{Value, json};

use super::answers::{
    BAD_BODY, BAD_PATH, BAD_QUERY, BAD_SHOWING, JSON, NO_AGENT, NO_CARD, NOT_ALLOWED, NOT_DURABLE, READ,
    SHOWN, TAGGED, UNCHANGED, ok,
};
use super::examples;
use super::operation::{Answer, Body, Link, Operation};
use super::parameters::{AGENT_FILTERS, AGENT_ID, CAPABILITY_FILTERS, COMMON, READING, SHOWING};
use crate::export::{AgentCard, ServerJson};

const GROUP: &str = "Discovery";
/// The media type of a watch.
const EVENTS: &str = "text/event-stream";
/// What can be done with an agent that has just registered.
const REGISTERED: &[Link] = &[
    Link { to: "getAgent", parameter: "id", value: "$response.body#/agent_id" },
    Link { to: "getAgentHealth", parameter: "id", value: "$response.body#/agent_id" },
    Link { to: "unregisterAgent", parameter: "id", value: "$response.body#/agent_id" },
];

pub(super) static OPERATIONS: [Operation; 5] = [
    Operation {
        method: Method::GET,
        path: route::AGENTS,
        id: "findAgents",
        group: GROUP,
        summary: "Find agents",
        description: "All filters must hold, and one capability of the agent must satisfy all filters of capabilities. \
                      Sorted by id, or by `score` with `fuzzy_match`.",
        parameters: &[AGENT_FILTERS, COMMON, READING],
        body: None,
        answers: &[
            &[Answer {
                headers: TAGGED,
                ..ok("The agents that fit.", &[(JSON, Components::output::<AgentPage>), (EVENTS, events)])
            }],
            BAD_QUERY,
            READ,
        ],
    },
    Operation {
        method: Method::POST,
        path: route::AGENTS,
        id: "registerAgent",
        group: GROUP,
        summary: "Register an agent",
        description: "Creates the agent, or replaces the document under its id. Answered once the change is durable. \
                      The same document again changes nothing. Keys that are not known are named in `warnings`.",
        parameters: &[],
        body: Some(Body {
            description: "The registration document.",
            schema: Components::input::<Registration>,
            is_required: true,
            examples: &[("agent", examples::registration), ("smallest", examples::smallest)],
        }),
        answers: &[
            &[Answer {
                links: REGISTERED,
                ..ok("The agent is registered.", &[(JSON, Components::output::<Registered>)])
            }],
            BAD_BODY,
            NOT_DURABLE,
        ],
    },
    Operation {
        method: Method::GET,
        path: route::AGENT,
        id: "getAgent",
        group: GROUP,
        summary: "Show an agent",
        description: "What the agent said when it registered, and what the registry knows about it; or, with `format`, \
                      what it said as a document of others.",
        parameters: &[AGENT_ID, SHOWING],
        body: None,
        answers: &[
            &[Answer { headers: SHOWN, ..ok("The agent.", &[(JSON, shown)]) }],
            UNCHANGED,
            BAD_SHOWING,
            NO_CARD,
        ],
    },
    Operation {
        method: Method::DELETE,
        path: route::AGENT,
        id: "unregisterAgent",
        group: GROUP,
        summary: "Unregister an agent",
        description: "Answered once the removal is durable.",
        parameters: &[AGENT_ID],
        body: None,
        answers: &[
            &[ok("The agent is gone.", &[(JSON, Components::output::<Unregistered>)])],
            BAD_PATH,
            NOT_ALLOWED,
            NO_AGENT,
            NOT_DURABLE,
        ],
    },
    Operation {
        method: Method::GET,
        path: route::CAPABILITIES,
        id: "findCapabilities",
        group: GROUP,
        summary: "Find capabilities",
        description: "Each row is a capability together with the agent that offers it. All filters must hold. Sorted by \
                      agent id, or by `score` with `fuzzy_match`.",
        parameters: &[CAPABILITY_FILTERS, COMMON, READING],
        body: None,
        answers: &[
            &[Answer {
                headers: TAGGED,
                ..ok(
                    "The capabilities that fit.",
                    &[(JSON, Components::output::<CapabilityPage>), (EVENTS, events)],
                )
            }],
            BAD_QUERY,
            READ,
        ],
    },
];

/// What an agent can be shown as.
fn shown(components: &mut Components) -> Value {
    json!({"anyOf": [
        components.output::<Agent>(), components.output::<ServerJson>(), components.output::<AgentCard>(),
    ]})
}

fn events(_: &mut Components) -> Value {
    json!({"type": "string", "description": "Server-sent events: `event` is the type, `id` the resource version to resume \
        from, `data` JSON with `type`, `object` (the agent) and `resource_version`. A watch without a version begins with \
        the agents there are, which have neither `id` nor `resource_version`: the `BOOKMARK` behind them has."})
}
