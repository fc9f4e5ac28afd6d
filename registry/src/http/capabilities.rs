//! Capabilities: find.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use mesh_api::query::CapabilityQuery;

use super::error::ApiError;
use super::state::Api;
use crate::error::RegistryError;

/// `GET /capabilities`
pub(super) async fn find(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, ApiError> {
    let query = CapabilityQuery::parse(&query.unwrap_or_default()).map_err(RegistryError::InvalidQuery)?;
    Ok(([(CACHE_CONTROL, api.cache_control)], Json(api.registry.capabilities(&query)?)))
}
