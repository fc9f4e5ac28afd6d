//! The registry as an MCP server: its tools for clients of every era of the protocol, over one route.
//!
//! Nothing is kept between requests, so any replica answers any of them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use mesh_mcp::front::listing::{ListedTool, Listing};
use mesh_mcp::front::origins::Origins;
use mesh_mcp::front::reply::Reply;
use mesh_mcp::front::tools::{Scope, Server, ToolAnswer, Tools, Unavailable, Wanted};
use mesh_mcp::front::{Front, Incoming};
use serde_json::value::{RawValue, to_raw_value};

use super::error::ApiError;
use super::extract;
use super::state::Api;
use crate::condition::SERVICE;
use crate::service::Registry;
use crate::tools::{Reader, Tool};

const SERVER: Server = Server {
    name: SERVICE,
    title: "MCP Mesh registry",
    version: env!("CARGO_PKG_VERSION"),
    instructions: "Knows which MCP agent of the mesh can do what. list_capabilities tells what can be done \
                   and by whom, discover_services finds agents, get_agent_status tells how one is. The \
                   registry calls no agent: call the endpoint that it names. register_agent, heartbeat and \
                   unregister_agent are for agents themselves.",
    // The tools change with the release and not before.
    list_ttl: Duration::from_secs(3_600),
    list_scope: Scope::Public,
    announces: false,
};

/// The cards of all tools, the same in every request.
static LISTING: LazyLock<Arc<Listing>> = LazyLock::new(|| {
    let card = |tool: Tool| {
        let entry = to_raw_value(&tool.card()).unwrap_or_else(|_| RawValue::NULL.to_owned());
        ListedTool { name: tool.name().to_owned(), entry }
    };
    Arc::new(Listing::new(Tool::ALL.map(card)))
});

/// The tools of a registry.
struct Offered<'r>(&'r Registry);

/// Any method of `/mcp`; all but POST are refused.
pub(super) async fn take(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let body = match method {
        Method::POST => extract::bytes(request, &api).await?,
        _ => Bytes::new(),
    };
    let front = Front { server: &SERVER, origins: &Origins::default(), tools: Offered(&api.registry) };
    let Reply { status, headers, body } =
        front.answer(Incoming { method: &method, headers: &headers, body: &body }).await;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

impl Tools for Offered<'_> {
    async fn listing(&self) -> Result<Arc<Listing>, Unavailable> {
        Ok(Arc::clone(&LISTING))
    }

    /// Whatever goes wrong is told as the error body of the route, from which a model can learn.
    async fn call(&self, wanted: Wanted<'_>) -> Option<ToolAnswer> {
        let tool = wanted.name.parse::<Tool>().ok()?;
        Some(match self.answer(tool, wanted.arguments).await {
            Ok(body) => ToolAnswer::Said { body, is_error: false },
            Err(fault) => {
                let (_, body) = fault.answer();
                // Texts alone: writing them into memory has no way to fail.
                let body = serde_json::to_vec(&body).unwrap_or_default();
                ToolAnswer::Said { body: body.into(), is_error: true }
            }
        })
    }
}

impl Offered<'_> {
    async fn answer(&self, tool: Tool, arguments: &RawValue) -> Result<Bytes, ApiError> {
        let arguments = serde_json::from_str(arguments.get());
        let arguments = arguments
            .map_err(|fault| ApiError::Malformed(format!("the arguments cannot be read: {fault}")))?;
        Ok(tool.call(self.0, &arguments, Reader::Model).await?)
    }
}
