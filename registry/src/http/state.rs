//! What every handler has at hand.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use tokio_util::sync::CancellationToken;

use crate::service::Registry;

/// What the HTTP layer allows, and tells caches.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body, in bytes.
    pub max_document_bytes: usize,
    /// Time for which clients may keep a discovery answer.
    pub cache_ttl: Duration,
    /// Most watches that are open at the same time.
    pub max_watchers: usize,
}

/// What every handler has at hand. Cheap to clone: every layer does so for every request.
#[derive(Debug, Clone)]
pub(super) struct Api(Arc<Shared>);

/// What is shared by all requests.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) registry: Arc<Registry>,
    pub(super) max_document_bytes: usize,
    pub(super) max_watchers: usize,
    /// Of discovery answers.
    pub(super) cache_control: HeaderValue,
    /// Ends all watches when it is cancelled.
    pub(super) watches: CancellationToken,
}

impl Api {
    pub(super) fn new(registry: Arc<Registry>, limits: Limits, watches: CancellationToken) -> Self {
        let cache_control = format!("max-age={}", limits.cache_ttl.as_secs());
        Self(Arc::new(Shared {
            registry,
            max_document_bytes: limits.max_document_bytes,
            max_watchers: limits.max_watchers,
            cache_control: HeaderValue::try_from(cache_control)
                .unwrap_or(HeaderValue::from_static("no-cache")),
            watches,
        }))
    }
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
