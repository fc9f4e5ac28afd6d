//! The registry as an MCP server: one operation, whose language is that of another specification.

use axum::http::Method;
use mesh_api::error::ErrorBody;
use mesh_api::route;
use mesh_api::schema::Components;
use serde_json::{Value, json};

use super::answers::{JSON, ok};
use super::examples;
use super::operation::{Answer, Body, Operation, Schema};

const GROUP: &str = "Tools";
const SUMMARY: &str = "The tools for MCP clients";
const DESCRIPTION: &str = "Streamable HTTP of the Model Context Protocol, revision 2026-07-28 and all that open with \
                           `initialize`. Stateless: every request stands alone, any replica answers it.";
const BODY: Body = Body {
    description: "One JSON-RPC message.",
    schema: message,
    is_required: true,
    examples: &[("list tools", examples::tools_list)],
};
const MESSAGE: &[(&str, Schema)] = &[(JSON, answer)];
const ANSWER: &[(&str, Schema)] = &[(JSON, one_or_many)];
const ANSWERS: &[&[Answer]] = &[&[
    ok(
        "The answer of a request: a result, or an error of JSON-RPC. A list of them answers the batch of a client of \
         revision 2025-03-26.",
        ANSWER,
    ),
    Answer::bare(202, "A notification was taken in."),
    Answer {
        content: MESSAGE,
        ..Answer::bare(400, "The message, or what its headers say of it, is at fault.")
    },
    Answer { content: MESSAGE, ..Answer::bare(403, "The `Origin` is not one that may come here.") },
    Answer { content: MESSAGE, ..Answer::bare(404, "There is no such method.") },
    Answer { content: FAULT, ..Answer::bare(408, "The body did not arrive in time.") },
    Answer { content: FAULT, ..Answer::bare(413, "The body is larger than this registry accepts.") },
    Answer {
        content: FAULT,
        ..Answer::bare(415, "The body says that it is not JSON, or that it is compressed.")
    },
]];
const FAULT: &[(&str, Schema)] = &[(JSON, Components::output::<ErrorBody>)];

pub(super) static OPERATIONS: [Operation; 2] = [
    Operation {
        method: Method::POST,
        path: route::MCP,
        id: "callMcp",
        group: GROUP,
        summary: SUMMARY,
        description: DESCRIPTION,
        parameters: &[],
        body: Some(BODY),
        answers: ANSWERS,
    },
    Operation {
        method: Method::POST,
        path: route::MCP_WITH_SLASH,
        id: "callMcpWithSlash",
        group: GROUP,
        summary: SUMMARY,
        description: DESCRIPTION,
        parameters: &[],
        body: Some(BODY),
        answers: ANSWERS,
    },
];

fn message(_: &mut Components) -> Value {
    json!({
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "integer"]},
            "method": {"type": "string"},
            "params": {"type": "object"}
        },
        "required": ["jsonrpc", "method"]
    })
}

fn one_or_many(components: &mut Components) -> Value {
    let one = answer(components);
    json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
}

fn answer(_: &mut Components) -> Value {
    json!({
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "number", "null"]},
            "result": {"type": "object"},
            "error": {
                "type": "object",
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
                "required": ["code", "message"]
            }
        },
        "required": ["jsonrpc"],
        "oneOf": [{"required": ["result"]}, {"required": ["error"]}]
    })
}
