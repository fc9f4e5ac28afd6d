//! The root: a card for programs, the dashboard for browsers.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, VARY};
use axum::response::{Html, IntoResponse, Response};
use mesh_api::query::{AgentQuery, Paging};
use mesh_api::route;

use super::card::Card;
use super::dashboard;
use super::error::ApiError;
use super::html::POLICY;
use super::openapi;
use super::state::Api;
use crate::moment::Moment;
use crate::tools::Tool;

/// Most agents on the dashboard; a page with more is no use to a person.
const SHOWN: usize = 500;

/// `GET /`
pub(super) async fn show(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accepted.contains("text/html") {
        return Ok(([(VARY, "accept")], Json(card(&api))).into_response());
    }
    let paging = Paging { limit: Some(SHOWN), continue_token: None };
    let query = AgentQuery { paging, ..AgentQuery::default() };
    let listing = api.registry.agents(&query, &query.to_string()).await?;
    let page = serde_json::from_slice(&listing.bytes(Moment::now().wall)).map_err(|_| ApiError::Panicked)?;
    let html = Html(dashboard::render(&page, &api.registry.health()));
    Ok(([(VARY, "accept"), (CONTENT_SECURITY_POLICY, POLICY)], html).into_response())
}

fn card(api: &Api) -> Card {
    let health = api.registry.health();
    Card {
        service: health.service,
        version: health.version,
        status: health.status,
        description: "Knows which MCP agent can do what. Agents register and heartbeat; anyone may ask.",
        routes: openapi::paths(),
        tools: Tool::ALL.map(Tool::name).to_vec(),
        openapi: route::OPENAPI,
        docs: route::DOCS,
    }
}
