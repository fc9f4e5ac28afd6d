//! Reads bodies and paths of requests. Whatever is wrong with them is said in words.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use super::error::ApiError;
use super::state::Api;

/// Time a client has for sending a body, the same as for a request head: a client that stops half way must not hold a
/// connection for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body that is JSON of any kind.
pub(super) struct Document(pub(super) Value);

/// A body of arguments: nothing at all means none.
pub(super) struct Arguments(pub(super) Value);

/// The one parameter of a path.
pub(super) struct Name(pub(super) String);

impl FromRequest<Api> for Document {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        match json(request, api).await? {
            Some(value) => Ok(Self(value)),
            None => Err(ApiError::Malformed("the body is empty, it must be JSON".to_owned())),
        }
    }
}

impl FromRequest<Api> for Arguments {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        Ok(Self(json(request, api).await?.unwrap_or_else(|| Value::Object(serde_json::Map::new()))))
    }
}

impl FromRequestParts<Api> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, api).await;
        let fault = |rejection| ApiError::Malformed(format!("the path cannot be read: {rejection}"));
        path.map(|Path(name)| Self(name)).map_err(fault)
    }
}

/// The bytes of a body that does not say of itself that it is anything but JSON.
pub(super) async fn bytes(request: Request, api: &Api) -> Result<Bytes, ApiError> {
    check_media_type(&request)?;
    check_encoding(&request)?;
    collect(request.into_body(), api.max_document_bytes).await
}

/// The body as JSON; `None` when it is empty.
async fn json(request: Request, api: &Api) -> Result<Option<Value>, ApiError> {
    let body = bytes(request, api).await?;
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let fault =
        |fault: serde_json::Error| ApiError::Malformed(format!("the body is not valid JSON: {fault}"));
    match std::str::from_utf8(&body) {
        Ok(text) => serde_json::from_str(text).map(Some).map_err(fault),
        Err(fault) => Err(ApiError::Malformed(format!("the body is not UTF-8: {fault}"))),
    }
}

/// A body without a type is taken for what it must be.
fn check_media_type(request: &Request) -> Result<(), ApiError> {
    let Some(given) = request.headers().get(CONTENT_TYPE) else { return Ok(()) };
    let given = String::from_utf8_lossy(given.as_bytes()).to_ascii_lowercase();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType(given))
    }
}

/// A compressed body could become any size, so none is read; documents are small.
fn check_encoding(request: &Request) -> Result<(), ApiError> {
    let given = request.headers().get_all(CONTENT_ENCODING).iter();
    let mut given = given.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
    match given.find(|encoding| !encoding.is_empty() && encoding != "identity") {
        Some(encoding) => Err(ApiError::EncodedBody(encoding)),
        None => Ok(()),
    }
}

/// A body that says itself that it is too large is refused before it is sent.
async fn collect(body: Body, max: usize) -> Result<Bytes, ApiError> {
    if usize::try_from(body.size_hint().lower()).map_or(true, |announced| announced > max) {
        return Err(ApiError::PayloadTooLarge(max));
    }
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, max).collect()).await;
    match collected.map_err(|_| ApiError::BodyTimedOut(BODY_TIMEOUT))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(fault) if fault.is::<LengthLimitError>() => Err(ApiError::PayloadTooLarge(max)),
        Err(fault) => Err(ApiError::Malformed(format!("the body ended early: {fault}"))),
    }
}
