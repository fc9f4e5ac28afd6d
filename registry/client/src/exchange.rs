//! One request to one registry, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use mesh_api::error::ErrorBody;
use serde::de::DeserializeOwned;

use crate::error::{BoxError, ClientError};
use crate::transport::{Pieces, Transport};

/// A registry's address: `http://host:8000`, perhaps with a path.
#[derive(Debug, Clone)]
pub struct Registry {
    address: String,
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whose it is: its number.
    pub(crate) index: usize,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    registry: String,
}

// === impl Registry ===

impl Registry {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none of a registry.
    pub fn at(address: &str) -> Result<Self, ClientError> {
        let uri = address.parse::<Uri>().ok();
        let uri =
            uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none());
        let has_host = uri.is_some_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
        if !has_host {
            return Err(ClientError::Address(address.to_owned()));
        }
        Ok(Self { address: address.trim_end_matches('/').to_owned() })
    }

    /// A request for `target`, a path with a query.
    ///
    /// # Errors
    /// When the target is none.
    pub(crate) fn request(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, ClientError> {
        let url = format!("{}{target}", self.address);
        Request::builder().method(method).uri(&url).body(body).map_err(|_| ClientError::Address(url))
    }

    pub(crate) fn unreachable(&self, source: BoxError) -> ClientError {
        ClientError::Unreachable { registry: self.address.clone(), source }
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
        let registry = self.address.clone();
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => ClientError::Refused {
                registry,
                status,
                body: Box::new(body),
                retry_after: seconds.map(Duration::from_secs),
            },
            Err(source) => ClientError::Garbled { registry, status, source },
        }
    }
}

/// Sends a request and reads the whole answer within `limit`.
pub(crate) async fn send(
    transport: &dyn Transport,
    request: Request<Bytes>,
    registry: &Registry,
    limit: Duration,
) -> Result<Answer, ClientError> {
    let exchanging = async {
        let (head, pieces) = transport.send(request).await?.into_parts();
        Ok::<_, BoxError>((head, collect(pieces).await?))
    };
    let (head, body) = in_time(limit, exchanging).await.map_err(|source| registry.unreachable(source))?;
    if head.status.is_success() || head.status == StatusCode::NOT_MODIFIED {
        let registry = registry.address.clone();
        return Ok(Answer { index: 0, status: head.status, headers: head.headers, body, registry });
    }
    Err(registry.refused(head.status, &head.headers, &body))
}

/// Sends a request whose answer does not end, and waits for its head.
pub(crate) async fn open(
    transport: &dyn Transport,
    request: Request<Bytes>,
    registry: &Registry,
    limit: Duration,
) -> Result<Pieces, ClientError> {
    let opening = in_time(limit, transport.send(request));
    let response: Response<Pieces> = opening.await.map_err(|source| registry.unreachable(source))?;
    let (head, pieces) = response.into_parts();
    if head.status.is_success() {
        return Ok(pieces);
    }
    let body = in_time(limit, collect(pieces)).await.map_err(|source| registry.unreachable(source))?;
    Err(registry.refused(head.status, &head.headers, &body))
}

async fn in_time<T>(
    limit: Duration,
    exchange: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let late = || BoxError::from(format!("no answer within {} ms", limit.as_millis()));
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err(late()))
}

async fn collect(pieces: Pieces) -> Result<Bytes, BoxError> {
    let mut pieces: Vec<Bytes> = pieces.try_collect().await?;
    // Most answers come in one piece, which need not be copied.
    Ok(if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() })
}

// === impl Answer ===

impl Answer {
    /// The same as that of registry number `index`.
    pub(crate) fn of(self, index: usize) -> Self {
        Self { index, ..self }
    }

    /// The answer as a document.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|source| ClientError::Garbled {
            registry: self.registry.clone(),
            status: self.status,
            source,
        })
    }
}
