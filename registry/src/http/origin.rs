//! Keeps web pages of other sites from changing anything.
//!
//! A browser sends what a page tells it to, also to this machine and with a type that needs no question beforehand; it
//! names the page's origin, and that is refused. Programs name none. What is only read needs no guard here: a browser
//! does not show it to another site's page.

use axum::extract::Request;
use axum::http::Method;
use axum::http::header::ORIGIN;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use mesh_mcp::front::origins::Origins;

use super::error::ApiError;

/// Refuses every method but GET and HEAD to pages that do not belong to this machine.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if only_reads || Origins::default().allow(request.headers()) {
        return next.run(request).await;
    }
    let origin = request.headers().get(ORIGIN).map(|origin| origin.as_bytes());
    let origin = String::from_utf8_lossy(origin.unwrap_or_default()).into_owned();
    ApiError::ForeignOrigin(origin).into_response()
}
