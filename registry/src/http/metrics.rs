//! Metrics: JSON for people, text for Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::state::Api;

/// The text's own format, for those who name it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older format, whose readers understand the text as well.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`: text for those who ask for it, as Prometheus does; JSON for everybody else.
pub(super) async fn negotiated(State(api): State<Api>, headers: HeaderMap) -> Response {
    if accepts(&headers, "application/openmetrics-text") || accepts(&headers, "text/plain") {
        text(State(api), headers).await.into_response()
    } else {
        Json(api.registry.metrics_report()).into_response()
    }
}

/// `GET /metrics/prometheus`
pub(super) async fn text(State(api): State<Api>, headers: HeaderMap) -> impl IntoResponse {
    let kind = if accepts(&headers, "application/openmetrics-text") { OPENMETRICS } else { PLAIN };
    ([(CONTENT_TYPE, kind)], api.registry.metrics_text())
}

fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.into_iter().any(|accepted| accepted.contains(kind))
}
