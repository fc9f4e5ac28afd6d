//! Metrics: JSON for people, text for Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};

use super::state::Api;

/// The text's own format, for those who name it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older format, whose readers understand the text as well.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`: text for those who ask for it and name no JSON, as Prometheus does; JSON for everybody else.
pub(super) async fn negotiated(State(api): State<Api>, headers: HeaderMap) -> Response {
    let accepts_text = accepts(&headers, "application/openmetrics-text") || accepts(&headers, "text/plain");
    if accepts_text && !accepts(&headers, "application/json") {
        text(State(api), headers).await.into_response()
    } else {
        ([(VARY, "accept")], Json(api.registry.metrics_report())).into_response()
    }
}

/// `GET /metrics/prometheus`
pub(super) async fn text(State(api): State<Api>, headers: HeaderMap) -> impl IntoResponse {
    let kind = if accepts(&headers, "application/openmetrics-text") { OPENMETRICS } else { PLAIN };
    ([(CONTENT_TYPE, kind), (VARY, "accept")], api.registry.metrics_text())
}

/// Whether `kind` is named in so many words, with a weight above zero.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|accepted| accepted.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().is_some_and(|named| named.eq_ignore_ascii_case(kind)) && parts.all(|part| !is_zero(part))
    })
}

/// Whether a parameter of a media range says that it is not wanted (RFC 9110, 12.4.2).
fn is_zero(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or(parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_type_is_accepted_when_it_is_named_with_any_weight_but_zero() {
        for (value, is_accepted) in [
            ("text/plain", true),
            ("TEXT/Plain; charset=utf-8", true),
            ("application/json, text/plain;q=0.1", true),
            ("text/plain; q=0", false),
            ("text/plain;version=0.0.4;Q=0.000", false),
            ("text/plainer", false),
            ("application/x-text/plain", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]);
            assert_eq!(accepts(&headers, "text/plain"), is_accepted, "{value}");
        }
    }
}
