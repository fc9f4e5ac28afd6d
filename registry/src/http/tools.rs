//! The tools as plain JSON over HTTP.

use axum::Json;
use axum::extract::State;

use super::error::ApiError;
use super::extract::{Arguments, Name};
use super::state::Api;
use crate::tools::{Answer, Tool};

/// `POST /mcp/tools/{tool}`
pub(super) async fn call(
    State(api): State<Api>,
    Name(tool): Name,
    Arguments(arguments): Arguments,
) -> Result<Json<Answer>, ApiError> {
    let tool = tool.parse::<Tool>()?;
    Ok(Json(tool.call(&api.registry, &arguments).await?))
}
