//! Capabilities: find, watch.

use axum::extract::{Request, State};
use axum::response::Response;
use mesh_api::query::CapabilityQuery;

use super::error::ApiError;
use super::state::Api;
use super::{discovery, watch};
use crate::catalog::query::Kind;
use crate::catalog::watcher::Filter;
use crate::error::RegistryError;

/// `GET /capabilities`
pub(super) async fn find(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (text, headers) = (request.uri().query().unwrap_or_default(), request.headers());
    if let Some(listing) = api.registry.answered(Kind::Capabilities, text) {
        return Ok(discovery::answer(&api, headers, listing));
    }
    let mut query = CapabilityQuery::parse(text).map_err(RegistryError::InvalidQuery)?;
    match query.watch.take() {
        Some(watch) => watch::open(&api, Filter::Capabilities(Box::new(query)), watch, headers).await,
        None => Ok(discovery::answer(&api, headers, api.registry.capabilities(&query, text).await?)),
    }
}
