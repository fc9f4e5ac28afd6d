//! The tools as plain JSON over HTTP.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::error::ApiError;
use super::extract::{Arguments, Name};
use super::state::Api;
use crate::tools::{Reader, Tool};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `POST /mcp/tools/{tool}`
pub(super) async fn call(
    State(api): State<Api>,
    Name(tool): Name,
    Arguments(arguments): Arguments,
) -> Result<impl IntoResponse, ApiError> {
    let tool = tool.parse::<Tool>()?;
    let answer = tool.call(&api.registry, &arguments, Reader::Program).await?;
    Ok(([(CONTENT_TYPE, JSON)], answer))
}
