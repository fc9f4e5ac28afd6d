//! The registry's own discovery API, answered from the cache: code written for the registry needs only another base
//! address, and goes on working while the registry is away.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::response::IntoResponse as _;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use mesh_api::card::{FORMAT, Format};
use mesh_api::error::{Code, ErrorBody, Fault};
use mesh_api::query::{AgentQuery, CapabilityQuery};
use mesh_api::{agent, route};
use mesh_client::error::ClientError;

use crate::api::reply;
use crate::api::state::State;
use crate::error::chain;

/// `GET /agents`.
pub async fn agents(state: Extract<Arc<State>>, RawQuery(raw): RawQuery) -> Response<Body> {
    match AgentQuery::parse(&raw.unwrap_or_default()) {
        Ok(AgentQuery { watch: Some(_), .. }) => invalid(vec![no_watch()]),
        Ok(query) => page(&state, format!("{}?{query}", route::AGENTS)).await,
        Err(faults) => invalid(faults),
    }
}

/// `GET /agents/{id}`.
pub async fn agent(
    state: Extract<Arc<State>>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Response<Body> {
    if !agent::is_id(&id) {
        return invalid(vec![Fault::new("id", format!("must be {}", agent::ID_RULE))]);
    }
    match Format::of_query(&raw.unwrap_or_default()) {
        Ok(None) => page(&state, format!("{}/{id}", route::AGENTS)).await,
        Ok(Some(format)) => page(&state, format!("{}/{id}?{FORMAT}={format}", route::AGENTS)).await,
        Err(fault) => invalid(vec![fault]),
    }
}

/// `GET /capabilities`.
pub async fn capabilities(state: Extract<Arc<State>>, RawQuery(raw): RawQuery) -> Response<Body> {
    match CapabilityQuery::parse(&raw.unwrap_or_default()) {
        Ok(CapabilityQuery { watch: Some(_), .. }) => invalid(vec![no_watch()]),
        Ok(query) => page(&state, format!("{}?{query}", route::CAPABILITIES)).await,
        Err(faults) => invalid(faults),
    }
}

async fn page(state: &State, target: String) -> Response<Body> {
    match state.discovery.page(target).await {
        Ok(found) => {
            let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            let mut response = (json, found.value.as_ref().clone()).into_response();
            reply::mark_age(response.headers_mut(), found.age, found.is_stale);
            response
        }
        Err(fault) => refusal(&fault),
    }
}

fn refusal(fault: &ClientError) -> Response<Body> {
    match fault {
        ClientError::Refused { status, body, .. } => reply::json(*status, body.as_ref()),
        other => {
            reply::json(StatusCode::SERVICE_UNAVAILABLE, &ErrorBody::new(Code::Unavailable, chain(other)))
        }
    }
}

/// What is answered from a cache cannot be followed.
fn no_watch() -> Fault {
    Fault::new("watch", "is answered by the registry alone, a sidecar answers from its cache")
}

fn invalid(faults: Vec<Fault>) -> Response<Body> {
    reply::json(StatusCode::BAD_REQUEST, &ErrorBody::faulty("Invalid query", faults))
}
