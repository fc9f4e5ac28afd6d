//! The tools as plain JSON: what [`crate::tools::Tool`] offers, each as an operation of its own.

use axum::http::Method;
use mesh_api::agent::{Registered, Registration, Unregistered};
use mesh_api::health::AgentHealth;
use mesh_api::heartbeat::{Heartbeat, HeartbeatAnswer};
use mesh_api::page::{AgentPage, CapabilityPage};
use mesh_api::schema::Components;
use serde_json::{Map, Value, json};

use super::answers::{BAD_ARGUMENTS, JSON, NO_AGENT, NOT_DURABLE, ok};
use super::examples;
use super::operation::{Body, Operation, Parameter};
use super::parameters::{self, AGENT_FILTERS, CAPABILITY_FILTERS, COMMON};

const GROUP: &str = "Tools";
const ARGUMENTS: &str = "The arguments of the tool.";

pub(super) static OPERATIONS: [Operation; 6] = [
    Operation {
        method: Method::POST,
        path: "/mcp/tools/register_agent",
        id: "callRegisterAgent",
        group: GROUP,
        summary: "register_agent: as POST /agents",
        description: "The document stands under `registration_data`.",
        parameters: &[],
        body: Some(Body {
            description: ARGUMENTS,
            schema: registration_data,
            is_required: true,
            examples: &[("agent", examples::registration_data)],
        }),
        answers: &[
            &[ok("The agent is registered.", &[(JSON, Components::output::<Registered>)])],
            BAD_ARGUMENTS,
            NOT_DURABLE,
        ],
    },
    Operation {
        method: Method::POST,
        path: "/mcp/tools/unregister_agent",
        id: "callUnregisterAgent",
        group: GROUP,
        summary: "unregister_agent: as DELETE /agents/{id}",
        description: "The id stands under `agent_id`.",
        parameters: &[],
        body: Some(AGENT_ID),
        answers: &[
            &[ok("The agent is gone.", &[(JSON, Components::output::<Unregistered>)])],
            BAD_ARGUMENTS,
            NO_AGENT,
            NOT_DURABLE,
        ],
    },
    Operation {
        method: Method::POST,
        path: "/mcp/tools/discover_services",
        id: "callDiscoverServices",
        group: GROUP,
        summary: "discover_services: as GET /agents",
        description: "The filters of the route are keys. Lists may be given as lists.",
        parameters: &[],
        body: Some(Body {
            description: ARGUMENTS,
            schema: agent_filters,
            is_required: false,
            examples: &[("filters", examples::agent_filters)],
        }),
        answers: &[&[ok("The agents that fit.", &[(JSON, Components::output::<AgentPage>)])], BAD_ARGUMENTS],
    },
    Operation {
        method: Method::POST,
        path: "/mcp/tools/heartbeat",
        id: "callHeartbeat",
        group: GROUP,
        summary: "heartbeat: as POST /heartbeat of one agent",
        description: "The answer says when the registry wants to hear the agent again.",
        parameters: &[],
        body: Some(Body {
            description: ARGUMENTS,
            schema: Components::input::<Heartbeat>,
            is_required: true,
            examples: &[("heartbeat", examples::heartbeat)],
        }),
        answers: &[
            &[ok("It was heard.", &[(JSON, Components::output::<HeartbeatAnswer>)])],
            BAD_ARGUMENTS,
            NO_AGENT,
        ],
    },
    Operation {
        method: Method::POST,
        path: "/mcp/tools/get_agent_status",
        id: "callGetAgentStatus",
        group: GROUP,
        summary: "get_agent_status: as GET /health/{id}",
        description: "The id stands under `agent_id`.",
        parameters: &[],
        body: Some(AGENT_ID),
        answers: &[
            &[ok("What its heartbeats say.", &[(JSON, Components::output::<AgentHealth>)])],
            BAD_ARGUMENTS,
            NO_AGENT,
        ],
    },
    Operation {
        method: Method::POST,
        path: "/mcp/tools/list_capabilities",
        id: "callListCapabilities",
        group: GROUP,
        summary: "list_capabilities: as GET /capabilities",
        description: "The filters of the route are keys. Lists may be given as lists.",
        parameters: &[],
        body: Some(Body {
            description: ARGUMENTS,
            schema: capability_filters,
            is_required: false,
            examples: &[("filters", examples::capability_filters)],
        }),
        answers: &[
            &[ok("The capabilities that fit.", &[(JSON, Components::output::<CapabilityPage>)])],
            BAD_ARGUMENTS,
        ],
    },
];

const AGENT_ID: Body = Body {
    description: ARGUMENTS,
    schema: agent_id,
    is_required: true,
    examples: &[("agent", examples::agent_id)],
};

fn registration_data(components: &mut Components) -> Value {
    object("registration_data", components.input::<Registration>())
}

fn agent_id(components: &mut Components) -> Value {
    object("agent_id", parameters::agent_id(components))
}

/// An object of which one key is read.
fn object(key: &str, schema: Value) -> Value {
    json!({"type": "object", "properties": {(key): schema}, "required": [key]})
}

fn agent_filters(components: &mut Components) -> Value {
    filters(&[AGENT_FILTERS, COMMON], components)
}

fn capability_filters(components: &mut Components) -> Value {
    filters(&[CAPABILITY_FILTERS, COMMON], components)
}

/// The parameters of a query as keys; a key that is null counts as absent, one that nothing reads is a fault.
fn filters(parameters: &[&[Parameter]], components: &mut Components) -> Value {
    let properties = parameters.iter().copied().flatten().map(|parameter| {
        let value = (parameter.schema)(components);
        (
            parameter.name.to_owned(),
            json!({"description": parameter.description, "anyOf": [value, {"type": "null"}]}),
        )
    });
    let properties = properties.collect::<Map<_, _>>();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}
