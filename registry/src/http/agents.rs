//! Agents: find, watch, show, register, unregister.

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use mesh_api::agent::{Registered, Unregistered};
use mesh_api::card::Format;
use mesh_api::query::AgentQuery;

use super::discovery::{self, JSON};
use super::error::ApiError;
use super::extract::{Document, Name};
use super::state::Api;
use super::watch;
use crate::catalog::query::Kind;
use crate::catalog::watcher::Filter;
use crate::error::RegistryError;

/// `GET /agents`
pub(super) async fn find(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (text, headers) = (request.uri().query().unwrap_or_default(), request.headers());
    if let Some(listing) = api.registry.answered(Kind::Agents, text) {
        return Ok(discovery::answer(&api, headers, listing));
    }
    let mut query = AgentQuery::parse(text).map_err(RegistryError::InvalidQuery)?;
    match query.watch.take() {
        Some(watch) => watch::open(&api, Filter::Agents(Box::new(query)), watch, headers).await,
        None => Ok(discovery::answer(&api, headers, api.registry.agents(&query, text).await?)),
    }
}

/// `POST /agents`
pub(super) async fn register(
    State(api): State<Api>,
    Document(document): Document,
) -> Result<Json<Registered>, ApiError> {
    Ok(Json(api.registry.register(&document).await?))
}

/// `GET /agents/{id}`
pub(super) async fn show(
    State(api): State<Api>,
    Name(id): Name,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = Format::of_query(&query.unwrap_or_default());
    if let Some(format) = format.map_err(|fault| RegistryError::InvalidQuery(vec![fault]))? {
        return Ok(discovery::document(&api, &headers, api.registry.exported(&id, format)?));
    }
    let mut response = ([(CONTENT_TYPE, JSON)], api.registry.agent(&id)?).into_response();
    response.headers_mut().extend(discovery::age(&api));
    Ok(response)
}

/// `DELETE /agents/{id}`
pub(super) async fn unregister(
    State(api): State<Api>,
    Name(id): Name,
) -> Result<Json<Unregistered>, ApiError> {
    Ok(Json(api.registry.unregister(&id).await?))
}
