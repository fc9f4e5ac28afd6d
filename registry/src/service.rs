//! What the registry does for those who ask: one method per use case, for REST and tools alike.
//!
//! Reads the clock, once per call, and hands the moment down. Knows nothing of HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use mesh_api::agent::{Registered, Registration, Unregistered};
use mesh_api::error::{Fault, Outcome};
use mesh_api::health::AgentHealth;
use mesh_api::heartbeat::{Heartbeat, HeartbeatAnswer};
use mesh_api::query::{AgentQuery, CapabilityQuery};
use mesh_api::schema;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::catalog::Catalog;
use crate::catalog::history::Gone;
use crate::catalog::hit::Hit;
use crate::catalog::listing::Listing;
use crate::catalog::query::{Kind, Question};
use crate::catalog::record::Record;
use crate::catalog::seats::Seated;
use crate::catalog::vitals::TooMuchSaid;
use crate::catalog::watcher::{Filter, Watcher};
use crate::error::RegistryError;
use crate::metrics::{Metrics, MetricsReport};
use crate::moment::Moment;
use crate::preservation::Reason;
use crate::registrar::{Effect, Registrar};
use crate::store::Store;

/// The name under which the registry presents itself.
pub const SERVICE: &str = "mesh-registry";

/// The registry as its clients see it.
#[derive(Debug)]
pub struct Registry {
    catalog: Arc<Catalog>,
    registrar: Arc<Registrar>,
    store: Arc<Store>,
    metrics: Metrics,
    /// How long a question may wait for a change that it asks to be taken into account.
    patience: Duration,
    started: Instant,
}

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

impl Registry {
    /// Serves `catalog`, which changes through `registrar`; questions wait at most `patience` for a change.
    pub fn new(
        catalog: Arc<Catalog>,
        registrar: Arc<Registrar>,
        store: Arc<Store>,
        patience: Duration,
        started: Instant,
    ) -> Self {
        Self { catalog, registrar, store, metrics: Metrics::default(), patience, started }
    }

    // === the life of an agent ===

    /// Registers the agent that `document` describes; durable and visible when it returns.
    ///
    /// # Errors
    /// When the document has faults or the registration cannot be stored.
    pub async fn register(&self, document: &Value) -> Result<Registered, RegistryError> {
        let read = Registration::from_value(document).map_err(RegistryError::InvalidDocument);
        let (registration, warnings) = read?;
        let agent_id = registration.id.clone();
        let effect = self.registrar.register(registration).await?;
        self.metrics.registrations.inc();
        let (resource_version, message) = match effect {
            Effect::Created(revision) => (revision, format!("Agent {agent_id} registered")),
            Effect::Updated(revision) => {
                (revision, format!("Agent {agent_id} registered, its document has changed"))
            }
            Effect::Unchanged(revision) => (revision, format!("Agent {agent_id} is registered, unchanged")),
        };
        if !matches!(effect, Effect::Unchanged(_)) {
            tracing::info!(agent.id = agent_id, resource_version, "an agent was registered");
        }
        Ok(Registered { status: Outcome::Success, agent_id, resource_version, message, warnings })
    }

    /// Removes an agent.
    ///
    /// # Errors
    /// When it is not registered or its removal cannot be stored.
    pub async fn unregister(&self, id: &str) -> Result<Unregistered, RegistryError> {
        let resource_version = self.registrar.unregister(id).await?;
        tracing::info!(agent.id = id, resource_version, "an agent was unregistered");
        let message = format!("Agent {id} unregistered");
        Ok(Unregistered { status: Outcome::Success, agent_id: id.to_owned(), resource_version, message })
    }

    /// Takes in a sign of life. Touches one record in memory and nothing else. An agent that has registered with another
    /// registry just now is waited for, if it says which version of its record it believes in.
    ///
    /// # Errors
    /// When the document has faults or the agent is not registered.
    pub async fn heartbeat(&self, document: &Value) -> Result<HeartbeatAnswer, RegistryError> {
        let heartbeat = Heartbeat::from_value(document).map_err(RegistryError::InvalidDocument)?;
        if heartbeat.resource_version.is_some() && self.catalog.get(&heartbeat.agent_id).is_none() {
            // A version that does not come is of a store that was lost: the agent has to register again.
            let _ = self.wait_for(heartbeat.resource_version).await;
        }
        let (now, id, believed) = (Moment::now(), heartbeat.agent_id.clone(), heartbeat.resource_version);
        let too_much = |fault: TooMuchSaid| {
            RegistryError::InvalidDocument(vec![Fault::new("metadata", fault.to_string())])
        };
        let record = self.catalog.beat(heartbeat, now).map_err(too_much)?;
        let record = record.ok_or(RegistryError::AgentNotFound(id))?;
        self.metrics.heartbeats.inc();
        Ok(HeartbeatAnswer {
            status: Outcome::Success,
            timestamp: now.wall,
            message: heard(&record, believed),
            resource_version: record.stored.revision,
            next_heartbeat_in: record.cadence(),
            degraded: self.catalog.expiry.freeze().is_some_and(|freeze| freeze.reason.is_of_the_store()),
        })
    }

    // === discovery ===

    /// The agents that a query asks for; `text` is the query as it was written.
    ///
    /// # Errors
    /// When its `continue` is not ours, or the revision that it asks for is not reached in time.
    pub async fn agents(&self, query: &AgentQuery, text: &str) -> Result<Listing, RegistryError> {
        self.wait_for(query.min_resource_version).await?;
        self.listing(Question::Agents(query), text)
    }

    /// The capabilities that a query asks for; `text` is the query as it was written.
    ///
    /// # Errors
    /// When its `continue` is not ours, or the revision that it asks for is not reached in time.
    pub async fn capabilities(&self, query: &CapabilityQuery, text: &str) -> Result<Listing, RegistryError> {
        self.wait_for(query.min_resource_version).await?;
        self.listing(Question::Capabilities(query), text)
    }

    /// The answer to a query that was given before and would be given again.
    pub fn answered(&self, kind: Kind, text: &str) -> Option<Listing> {
        self.catalog.answered(kind, text, Instant::now())
    }

    /// Follows agents: from behind revision `from` on, or with all of them to begin with, which are returned.
    ///
    /// # Errors
    /// When changes behind `from` are not kept any more, or it is not reached in time.
    pub async fn watch(
        &self,
        filter: Filter,
        from: Option<u64>,
    ) -> Result<(Vec<Hit>, Watcher), RegistryError> {
        if let Err(RegistryError::NotReached { reached, .. }) = self.wait_for(from).await {
            // A revision from before a restart without a memory, or from another registry.
            return Err(RegistryError::WatchTooOld { kept_from: reached });
        }
        let watched = self.catalog.watch(filter, from);
        watched.map_err(|Gone { kept_from }| RegistryError::WatchTooOld { kept_from })
    }

    /// One agent, as JSON.
    ///
    /// # Errors
    /// When it is not registered.
    pub fn agent(&self, id: &str) -> Result<Bytes, RegistryError> {
        let Seated { record, status, .. } = self.seated(id)?;
        let mut json = Vec::new();
        Hit { record, status, capability: None, score: None }.render(None, &mut json);
        Ok(json.into())
    }

    /// The health of one agent.
    ///
    /// # Errors
    /// When it is not registered.
    pub fn agent_health(&self, id: &str) -> Result<AgentHealth, RegistryError> {
        let Seated { record, status, .. } = self.seated(id)?;
        Ok(record.health(status, self.catalog.expiry.vantage(Instant::now())))
    }

    fn listing(&self, question: Question<'_>, text: &str) -> Result<Listing, RegistryError> {
        match self.answered(question.kind(), text) {
            Some(listing) => Ok(listing),
            None => self.catalog.list(question, text, Instant::now()).map_err(invalid_query),
        }
    }

    /// Waits until the catalog has reached a revision, if one is asked for.
    async fn wait_for(&self, wanted: Option<u64>) -> Result<(), RegistryError> {
        let Some(wanted) = wanted.filter(|wanted| *wanted > self.catalog.revision()) else { return Ok(()) };
        match timeout(self.patience, self.catalog.progress.reached(wanted)).await {
            Ok(reached) => reached.map_err(|fault| RegistryError::Unavailable(fault.into())),
            Err(_) => Err(RegistryError::NotReached { wanted, reached: self.catalog.revision() }),
        }
    }

    // === the registry itself ===

    /// How old answers are, when the store does not tell what others write.
    pub fn age(&self) -> Option<Duration> {
        let freeze = self.catalog.expiry.freeze().filter(|freeze| freeze.reason == Reason::StoreBehind)?;
        Some(Instant::now().saturating_duration_since(freeze.since))
    }

    /// The health of the registry.
    pub fn health(&self) -> RegistryHealth {
        let now = Moment::now();
        let freeze = self.catalog.expiry.freeze();
        let trouble = self.store.trouble();
        let store_writable = trouble.is_none();
        let frozen = freeze.map(|freeze| format!("expiry is frozen: {}", freeze.reason));
        let reasons = trouble.into_iter().chain(frozen).collect::<Vec<_>>();
        RegistryHealth {
            status: if reasons.is_empty() { "healthy" } else { "degraded" },
            service: SERVICE,
            version: env!("CARGO_PKG_VERSION"),
            warm: self.catalog.is_warm(now.instant),
            expiry_frozen: freeze.is_some(),
            store_writable,
            reasons,
            uptime_seconds: self.uptime(now).as_secs_f64(),
            timestamp: now.wall,
        }
    }

    /// What the HTTP layer counts into.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// All metrics as JSON.
    pub fn metrics_report(&self) -> MetricsReport {
        let now = Moment::now();
        self.metrics.report(self.catalog.census(), self.uptime(now), now.wall)
    }

    /// All metrics as OpenMetrics text.
    pub fn metrics_text(&self) -> String {
        let now = Moment::now();
        let is_frozen = self.catalog.expiry.freeze().is_some();
        self.metrics.text(&self.catalog.census(), self.uptime(now), is_frozen)
    }

    fn seated(&self, id: &str) -> Result<Seated, RegistryError> {
        self.catalog.get(id).ok_or_else(|| RegistryError::AgentNotFound(id.to_owned()))
    }

    fn uptime(&self, now: Moment) -> Duration {
        now.instant.saturating_duration_since(self.started)
    }
}

fn invalid_query(fault: Fault) -> RegistryError {
    RegistryError::InvalidQuery(vec![fault])
}

/// The answer to a heartbeat in a sentence: tells a sender whose registration is not the one that is known.
fn heard(record: &Record, believed: Option<u64>) -> String {
    let (id, known) = (record.id(), record.stored.revision);
    match believed {
        Some(believed) if believed != known => {
            format!("Heartbeat of agent {id} recorded; version {known} is registered, not {believed}")
        }
        _ => format!("Heartbeat of agent {id} recorded"),
    }
}
