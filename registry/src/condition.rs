//! How the registry itself is.

use std::time::Duration;

use jiff::Timestamp;
use mesh_api::schema;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::catalog::Catalog;
use crate::moment::Moment;
use crate::store::Store;

/// The name under which the registry presents itself.
pub const SERVICE: &str = "mesh-registry";

/// The answer of `GET /health`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RegistryHealth {
    /// `healthy`, or `degraded` with reasons.
    pub status: &'static str,
    /// The name of the service.
    pub service: &'static str,
    /// The release.
    pub version: &'static str,
    /// Whether every agent there is has had the time to register.
    pub warm: bool,
    /// Whether no agent expires at present.
    pub expiry_frozen: bool,
    /// Whether the last write of the store went well.
    pub store_writable: bool,
    /// What is not as it should be.
    pub reasons: Vec<String>,
    /// Time since the start.
    pub uptime_seconds: f64,
    /// When the answer was made.
    #[schemars(schema_with = "schema::timestamp")]
    pub timestamp: Timestamp,
}

impl RegistryHealth {
    /// The health of a registry that was started at `started`, at `now`.
    pub fn of(catalog: &Catalog, store: &Store, started: Instant, now: Moment) -> Self {
        let (freeze, trouble) = (catalog.expiry.freeze(), store.trouble());
        let store_writable = trouble.is_none();
        let frozen = freeze.map(|freeze| format!("expiry is frozen: {}", freeze.reason));
        let reasons = trouble.into_iter().chain(frozen).collect::<Vec<_>>();
        Self {
            status: if reasons.is_empty() { "healthy" } else { "degraded" },
            service: SERVICE,
            version: env!("CARGO_PKG_VERSION"),
            warm: catalog.is_warm(now.instant),
            expiry_frozen: freeze.is_some(),
            store_writable,
            reasons,
            uptime_seconds: uptime(started, now).as_secs_f64(),
            timestamp: now.wall,
        }
    }
}

/// How long a registry has been running at `now` that was started at `started`.
pub fn uptime(started: Instant, now: Moment) -> Duration {
    now.instant.saturating_duration_since(started)
}
