//! For probes, scrapers and curious people.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Extract;
use axum::response::IntoResponse as _;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use mesh_api::error::{Code, ErrorBody};
use serde_json::json;

use crate::api::reply;
use crate::api::state::State;

/// Media type of Prometheus' text, as its server expects it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /livez`: the process is alive.
pub async fn livez() -> Response<Body> {
    reply::json(StatusCode::OK, &json!({"status": "alive"}))
}

/// `GET /readyz`: our agent is registered, so the mesh can reach it.
pub async fn readyz(Extract(state): Extract<Arc<State>>) -> Response<Body> {
    match state.stage.borrow().readiness() {
        Ok(()) => reply::json(StatusCode::OK, &json!({"status": "ready"})),
        Err(reason) => {
            reply::json(StatusCode::SERVICE_UNAVAILABLE, &ErrorBody::new(Code::Unavailable, reason))
        }
    }
}

/// `GET /metrics`.
pub async fn metrics(Extract(state): Extract<Arc<State>>) -> Response<Body> {
    let endpoints = state.endpoints.all();
    state.metrics.observe_endpoints(endpoints.iter().map(|endpoint| endpoint.breaker_state()));
    let ages = state.discovery.ages();
    state.metrics.observe_discovery(ages.len(), ages.into_iter().max().unwrap_or_default());
    ([(CONTENT_TYPE, OPENMETRICS)], state.metrics.render()).into_response()
}

/// `GET /`: what this is.
pub async fn card() -> Response<Body> {
    let card = json!({
        "service": "mesh-sidecar",
        "version": env!("CARGO_PKG_VERSION"),
        "call": "POST /call/{capability} with the arguments as a JSON object",
        "proxy": "ANY /proxy/{capability}/{path} passes HTTP on to a provider",
        "explain": "GET /explain/{capability}",
        "discovery": ["GET /agents", "GET /agents/{id}", "GET /capabilities"],
        "operations": ["GET /livez", "GET /readyz", "GET /metrics"],
    });
    reply::json(StatusCode::OK, &card)
}
