//! The registry over HTTP: every route on one screen. A handler extracts, calls one service method and replies.

mod root;

mod dashboard;
mod docs;

mod openapi;

mod agents;
mod capabilities;
mod health;
mod heartbeat;
mod mcp;
mod metrics;
mod tools;

mod card;
mod discovery;
mod html;
mod observe;
mod origin;
mod watch;

mod extract;
mod state;

mod error;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use mesh_api::route;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use self::error::ApiError;
use self::state::Api;
pub use self::state::Limits;
use crate::service::Registry;

/// The routes of `registry`, with counting, compression of what is large for those who ask, a guard against web pages
/// of other sites, and panics turned into answers.
///
/// `watches` ends all watches when it is cancelled.
pub fn router(registry: Arc<Registry>, limits: Limits, watches: CancellationToken) -> Router {
    let api = Api::new(registry, limits, watches);
    // Around what may be large alone: it costs a heartbeat as much as the heartbeat itself.
    let compressed = CompressionLayer::new;
    Router::new()
        .route(route::ROOT, get(root::show).layer(compressed()))
        .route(route::OPENAPI, get(openapi::show).layer(compressed()))
        .route(route::DOCS, get(docs::show).layer(compressed()))
        .route(route::TOOL, post(tools::call))
        .route(route::AGENTS, get(agents::find).layer(compressed()).post(agents::register))
        .route(route::AGENT, get(agents::show).delete(agents::unregister))
        .route(route::CAPABILITIES, get(capabilities::find).layer(compressed()))
        .route(route::HEARTBEAT, post(heartbeat::take))
        .route(route::HEALTH, get(health::of_registry))
        .route(route::AGENT_HEALTH, get(health::of_agent))
        .route(route::LIVEZ, get(health::livez))
        .route(route::READYZ, get(health::readyz))
        .route(route::METRICS, get(metrics::negotiated).layer(compressed()))
        .route(route::METRICS_PROMETHEUS, get(metrics::text).layer(compressed()))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn(origin::guard))
        // Beyond the guard: these go by the same rule, and refuse in their own language.
        .route(route::MCP, any(mcp::take))
        .route(route::MCP_WITH_SLASH, any(mcp::take))
        .fallback(no_route)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(Api::clone(&api), observe::request))
        .with_state(api)
}

async fn no_route(uri: Uri) -> ApiError {
    ApiError::RouteNotFound(uri.path().to_owned())
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::MethodNotAllowed { method, path: uri.path().to_owned() }
}
