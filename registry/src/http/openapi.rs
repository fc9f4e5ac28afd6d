//! The API described by itself: an OpenAPI 3.1 document from one table of operations and the schemas of the wire types.
//!
//! The docs page is made from the same table. Tests hold the table against the router and against the query parser.

mod discovery;
mod health;
mod mcp;
mod pages;
mod tools;

mod examples;

mod answers;
mod parameters;

pub(super) mod operation;

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use mesh_api::schema::Components;
use serde_json::{Value, json};

use self::operation::Operation;

/// The document, and the bytes of it that are answered.
static DOCUMENT: LazyLock<(Value, Bytes)> = LazyLock::new(|| {
    let document = assemble();
    let bytes = document.to_string().into();
    (document, bytes)
});

/// `GET /openapi.json`
pub(super) async fn show() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.1.clone())
}

/// Every operation, in the order in which it is read about.
pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
    discovery::OPERATIONS
        .iter()
        .chain(&health::OPERATIONS)
        .chain(&tools::OPERATIONS)
        .chain(&mcp::OPERATIONS)
        .chain(&pages::OPERATIONS)
}

/// Every path, once.
pub(super) fn paths() -> Vec<&'static str> {
    let mut paths = Vec::new();
    for operation in operations() {
        if !paths.contains(&operation.path) {
            paths.push(operation.path);
        }
    }
    paths
}

/// The whole document.
pub(super) fn document() -> &'static Value {
    &DOCUMENT.0
}

fn assemble() -> Value {
    let mut components = Components::default();
    let mut document = json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "mesh-registry",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Knows which MCP agent can do what.",
            "description": "Agents register and heartbeat; anyone may ask. Every error has the same shape, with a `code` \
                            that clients match on.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {},
        "components": {},
    });
    for operation in operations() {
        let method = operation.method.as_str().to_ascii_lowercase();
        document["paths"][operation.path][method] = operation.describe(&mut components);
    }
    components.finish(&mut document);
    document
}
