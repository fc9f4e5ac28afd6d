//! Agents: find, show, register, unregister.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use mesh_api::agent::{Agent, Registered, Unregistered};
use mesh_api::query::AgentQuery;

use super::error::ApiError;
use super::extract::{Document, Name};
use super::state::Api;
use crate::error::RegistryError;

/// `GET /agents`
pub(super) async fn find(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, ApiError> {
    let query = AgentQuery::parse(&query.unwrap_or_default()).map_err(RegistryError::InvalidQuery)?;
    Ok(([(CACHE_CONTROL, api.cache_control)], Json(api.registry.agents(&query)?)))
}

/// `POST /agents`
pub(super) async fn register(
    State(api): State<Api>,
    Document(document): Document,
) -> Result<Json<Registered>, ApiError> {
    Ok(Json(api.registry.register(&document).await?))
}

/// `GET /agents/{id}`
pub(super) async fn show(State(api): State<Api>, Name(id): Name) -> Result<Json<Agent>, ApiError> {
    Ok(Json(api.registry.agent(&id)?))
}

/// `DELETE /agents/{id}`
pub(super) async fn unregister(
    State(api): State<Api>,
    Name(id): Name,
) -> Result<Json<Unregistered>, ApiError> {
    Ok(Json(api.registry.unregister(&id).await?))
}
