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
mod watch;

mod extract;
mod state;

mod error;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use mesh_api::route;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use self::error::ApiError;
use self::state::Api;
pub use self::state::Limits;
use crate::service::Registry;

/// The routes of `registry`, with counting, compression for those who ask for it, and panics turned into answers.
///
/// `watches` ends all watches when it is cancelled.
pub fn router(registry: Arc<Registry>, limits: Limits, watches: CancellationToken) -> Router {
    let api = Api::new(registry, limits, watches);
    Router::new()
        .route(route::ROOT, get(root::show))
        .route(route::OPENAPI, get(openapi::show))
        .route(route::DOCS, get(docs::show))
        .route(route::MCP, any(mcp::take))
        .route(route::MCP_WITH_SLASH, any(mcp::take))
        .route(route::TOOL, post(tools::call))
        .route(route::AGENTS, get(agents::find).post(agents::register))
        .route(route::AGENT, get(agents::show).delete(agents::unregister))
        .route(route::CAPABILITIES, get(capabilities::find))
        .route(route::HEARTBEAT, post(heartbeat::take))
        .route(route::HEALTH, get(health::of_registry))
        .route(route::AGENT_HEALTH, get(health::of_agent))
        .route(route::LIVEZ, get(health::livez))
        .route(route::READYZ, get(health::readyz))
        .route(route::METRICS, get(metrics::negotiated))
        .route(route::METRICS_PROMETHEUS, get(metrics::text))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_route)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(Api::clone(&api), observe::request))
        .with_state(api)
}

async fn no_route(uri: Uri) -> ApiError {
    ApiError::RouteNotFound(uri.path().to_owned())
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::MethodNotAllowed { method, path: uri.path().to_owned() }
}
