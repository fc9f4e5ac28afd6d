//! What carries requests to a registry: HTTP over the network of this host, or what a test puts in its place.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Request, Response};

use crate::error::BoxError;

/// Time for connecting to a registry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Idle connections are dropped before the 5 s after which common servers close them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// The body of an answer, piece by piece.
pub type Pieces = BoxStream<'static, Result<Bytes, BoxError>>;

/// Carries requests. Redirects are not followed, and time is the caller's matter.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request, whose URI is a whole one, and returns the answer once its head is there.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Pieces>, BoxError>>;
}

/// HTTP over the network of this host.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    http: reqwest::Client,
}

impl HttpTransport {
    /// Sets the HTTP client up.
    ///
    /// # Errors
    /// When that fails.
    pub fn new() -> Result<Self, BoxError> {
        Self::connecting_within(CONNECT_TIMEOUT)
    }

    /// The same with `limit` for connecting: for what may be further away than a registry.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn connecting_within(limit: Duration) -> Result<Self, BoxError> {
        // Already installed is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(limit)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("mesh-client/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Pieces>, BoxError>> {
        let http = self.http.clone();
        Box::pin(async move {
            let response = http.execute(request.try_into()?).await?;
            let mut answer = Response::new(());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            Ok(answer.map(|()| response.bytes_stream().map_err(BoxError::from).boxed()))
        })
    }
}
