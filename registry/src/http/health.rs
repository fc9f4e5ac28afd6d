//! Health: of the registry, of one agent, and what probes ask.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mesh_api::health::AgentHealth;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;
use super::extract::Name;
use super::state::Api;

/// The answer to a probe.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Probe {
    /// What the probe asked for.
    status: &'static str,
}

/// `GET /health`: 503 while the store cannot be written, because registrations fail then.
pub(super) async fn of_registry(State(api): State<Api>) -> impl IntoResponse {
    let health = api.registry.health();
    let status = if health.store_writable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

/// `GET /health/{id}`
pub(super) async fn of_agent(State(api): State<Api>, Name(id): Name) -> Result<Json<AgentHealth>, ApiError> {
    Ok(Json(api.registry.agent_health(&id)?))
}

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> Json<Probe> {
    Json(Probe { status: "alive" })
}

/// `GET /readyz`: discovery answers. Nobody comes here before the catalog has its snapshot, and discovery goes on while
/// the store is away, so to be reached is to be ready.
pub(super) async fn readyz() -> Json<Probe> {
    Json(Probe { status: "ready" })
}
