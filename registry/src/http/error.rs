//! Errors as answers: the one place that knows the status of each, and logs it once.

use std::any::Any;
use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use mesh_api::document::{MAX_TOLD, cut, quoted};
use mesh_api::error::{Code, ErrorBody, Fault};

use crate::error::RegistryError;
use crate::export::NotShown;

/// Seconds after which a client should try again: a store that is restarted or switched over takes about that long.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// Why a request is answered with an error.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The registry could not do it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The body or the path cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The body does not arrive.
    #[error("the body did not arrive within {} s", .0.as_secs_f64())]
    BodyTimedOut(Duration),
    /// The body is too large.
    #[error("the body is larger than {0} bytes")]
    PayloadTooLarge(usize),
    /// The body says that it is no JSON.
    #[error("the body must be sent as Content-Type: application/json, got {}", quoted(.0))]
    UnsupportedMediaType(String),
    /// The body is compressed.
    #[error("the body must be sent as it is, without Content-Encoding, got {}", quoted(.0))]
    EncodedBody(String),
    /// There is no such route.
    #[error("there is no route {}", quoted(.0))]
    RouteNotFound(String),
    /// The route takes other methods.
    #[error("the route {} does not take {}", quoted(.path), cut(.method.as_str()))]
    MethodNotAllowed { method: Method, path: String },
    /// There is no room for another watch.
    #[error(
        "there are {0} watches already, as many as this registry allows: try again later, or at another one"
    )]
    TooManyWatches(usize),
    /// A web page of another site wants to change something.
    #[error("pages of other sites may change nothing here: {} is not an origin of this machine", quoted(.0))]
    ForeignOrigin(String),
    /// A fault of ours.
    #[error("the registry failed to answer, its log says why")]
    Panicked,
}

impl ApiError {
    /// The status and the code of every error.
    fn verdict(&self) -> (StatusCode, Code) {
        match self {
            Self::Registry(RegistryError::InvalidDocument(_) | RegistryError::InvalidQuery(_)) => {
                (StatusCode::BAD_REQUEST, Code::ValidationFailed)
            }
            Self::Registry(RegistryError::AgentNotFound(_)) => (StatusCode::NOT_FOUND, Code::AgentNotFound),
            Self::Registry(RegistryError::NotShown(NotShown::NotSpoken(_))) => {
                (StatusCode::NOT_FOUND, Code::CardNotFound)
            }
            Self::Registry(RegistryError::NotShown(NotShown::Damaged(_))) => {
                (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal)
            }
            Self::Registry(RegistryError::UnknownTool { .. }) => (StatusCode::NOT_FOUND, Code::UnknownTool),
            Self::Registry(RegistryError::NotReached { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::Registry(RegistryError::WatchTooOld { .. }) => (StatusCode::GONE, Code::Gone),
            Self::Registry(RegistryError::Conflict(_)) => (StatusCode::CONFLICT, Code::Conflict),
            Self::Registry(RegistryError::StorageFull(_)) => {
                (StatusCode::INSUFFICIENT_STORAGE, Code::StorageFull)
            }
            Self::Registry(RegistryError::Unavailable(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::Registry(RegistryError::TooLarge(_)) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge)
            }
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, Code::MalformedBody),
            Self::BodyTimedOut(_) => (StatusCode::REQUEST_TIMEOUT, Code::MalformedBody),
            Self::PayloadTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge),
            Self::UnsupportedMediaType(_) | Self::EncodedBody(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::UnsupportedMediaType)
            }
            Self::RouteNotFound(_) => (StatusCode::NOT_FOUND, Code::RouteNotFound),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed),
            Self::TooManyWatches(_) => (StatusCode::TOO_MANY_REQUESTS, Code::Overloaded),
            Self::ForeignOrigin(_) => (StatusCode::FORBIDDEN, Code::Forbidden),
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
        }
    }

    /// The status and the body; logs the error.
    pub(super) fn answer(&self) -> (StatusCode, ErrorBody) {
        let (status, code) = self.verdict();
        if status.is_server_error() && !self.is_of_the_client() {
            tracing::error!(status = status.as_u16(), error = chain(self), "a request failed");
        } else {
            tracing::debug!(status = status.as_u16(), error = chain(self), "a request was refused");
        }
        (status, ErrorBody { faults: self.faults(), ..ErrorBody::new(code, self.to_string()) })
    }

    /// Whether a client brings it about at will, whatever its status says: anybody can ask for a change to come.
    fn is_of_the_client(&self) -> bool {
        matches!(self, Self::Registry(RegistryError::NotReached { .. }))
    }

    fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Registry(RegistryError::InvalidDocument(faults) | RegistryError::InvalidQuery(faults)) => {
                faults.iter().take(MAX_TOLD).cloned().collect()
            }
            _ => Vec::new(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, body) = self.answer();
        let mut response = (status, Json(body)).into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

/// The answer to a request whose handler panicked; the panic hook has logged where.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    ApiError::Panicked.into_response()
}

/// An error and everything below it in one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        line.push_str(": ");
        line.push_str(&error.to_string());
        below = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;
    use tracing::Level;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_without_its_message() {
        async fn handler() {
            panic!("the secret")
        }
        let router = Router::<()>::new().route("/", get(handler)).layer(CatchPanicLayer::custom(panicked));
        let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice::<ErrorBody>(&body).unwrap();
        assert!(body.code == Code::Internal && !body.error.contains("secret"), "{body:?}");
    }

    /// What is logged at `level` and above while an error is answered.
    fn logged(error: &ApiError, level: Level) -> String {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || Sink(Arc::clone(&writer)))
            .finish();
        tracing::subscriber::with_default(subscriber, || error.answer());
        String::from_utf8(log.lock().unwrap().clone()).unwrap()
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_change_that_has_not_come_is_no_fault_of_ours() {
        let early = ApiError::from(RegistryError::NotReached { wanted: u64::MAX, reached: 1 });
        assert_eq!(logged(&early, Level::INFO), "");
        let log = logged(&early, Level::DEBUG);
        assert!(log.contains("is not reached yet") && log.contains("503"), "{log}");
        let away = ApiError::from(RegistryError::Unavailable("no route to it".into()));
        assert!(logged(&away, Level::INFO).contains("no route to it"));
    }

    #[test]
    fn the_log_tells_the_whole_chain_and_nothing_twice() {
        let error = ApiError::from(RegistryError::StorageFull("no space left".into()));
        assert_eq!(
            chain(&error),
            "the registration cannot be stored because the disk is full: no space left"
        );
    }
}
