//! Counts and times every request, under labels of which there are few.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::state::Api;
use crate::metrics::{Metrics, RequestLabels};

/// The route of requests that no route takes.
const NO_ROUTE: &str = "none";

/// Runs around every request.
pub(super) async fn request(State(api): State<Api>, request: Request, next: Next) -> Response {
    let _in_flight = InFlight::enter(api.registry.metrics());
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let method = known(request.method());
    let response = next.run(request).await;
    let status = class(response.status());
    api.registry.metrics().answered(&RequestLabels { route, method, status }, started.elapsed());
    response
}

/// Counts down also when the client goes away in the middle.
struct InFlight<'m>(&'m Metrics);

impl<'m> InFlight<'m> {
    fn enter(metrics: &'m Metrics) -> Self {
        metrics.requests_in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.requests_in_flight.dec();
    }
}

fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        500.. => "5xx",
        400.. => "4xx",
        300.. => "3xx",
        _ => "2xx",
    }
}
