//! What the registry does for those who ask: one method per use case, for REST and tools alike.
//!
//! Reads the clock, once per call, and hands the moment down. Knows nothing of HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_api::agent::{Registered, Registration, Unregistered};
use mesh_api::card::Format;
use mesh_api::error::{Fault, Outcome};
use mesh_api::health::AgentHealth;
use mesh_api::heartbeat::{Heartbeat, HeartbeatAnswer};
use mesh_api::query::{AgentQuery, CapabilityQuery};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::catalog::Catalog;
use crate::catalog::history::Gone;
use crate::catalog::hit::Hit;
use crate::catalog::listing::Listing;
use crate::catalog::query::{Kind, Question};
use crate::catalog::record::Record;
use crate::catalog::said::TooMuchSaid;
use crate::catalog::seats::Seated;
use crate::catalog::watcher::{Filter, Watcher};
use crate::condition::{self, RegistryHealth};
use crate::error::RegistryError;
use crate::export;
use crate::metrics::{Metrics, MetricsReport};
use crate::moment::Moment;
use crate::preservation::Reason;
use crate::registrar::{Effect, Registrar};
use crate::store::Store;

/// Time for a registration with another registry to come by before an agent is said not to be known.
const UNDERWAY: Duration = Duration::from_millis(500);

/// Most requests that wait for that at the same time.
const MOST_EXPECTED: usize = 64;

/// Nobody can say now whether an agent is registered.
#[derive(Debug, thiserror::Error)]
#[error("the agent is not known here, and this registry is not told now who registers with others")]
struct Uncertain;

/// The registry as its clients see it.
#[derive(Debug)]
pub struct Registry {
    catalog: Arc<Catalog>,
    registrar: Arc<Registrar>,
    store: Arc<Store>,
    metrics: Metrics,
    /// How long a question may wait for a change that it asks to be taken into account.
    patience: Duration,
    /// Places for heartbeats that wait for a registration to come by.
    expecting: Semaphore,
    started: Instant,
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
        let (metrics, expecting) = (Metrics::default(), Semaphore::new(MOST_EXPECTED));
        Self { catalog, registrar, store, metrics, patience, expecting, started }
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

    /// Takes in a sign of life. Touches one record in memory and nothing else.
    ///
    /// # Errors
    /// When the document has faults or the agent is not registered.
    pub fn heartbeat(&self, document: &Value) -> Result<HeartbeatAnswer, RegistryError> {
        let heartbeat = Heartbeat::from_value(document).map_err(RegistryError::InvalidDocument)?;
        let (now, id, believed) = (Moment::now(), heartbeat.agent_id.clone(), heartbeat.resource_version);
        let too_much = |fault: TooMuchSaid| {
            RegistryError::InvalidDocument(vec![Fault::new("metadata", fault.to_string())])
        };
        let record = self.catalog.beat(heartbeat, now).map_err(too_much)?;
        let is_degraded = self.catalog.expiry.freeze().is_some_and(|freeze| freeze.reason.is_of_the_store());
        let record = match record {
            // It may have registered elsewhere, of which we are not told now.
            None if is_degraded && self.store.pulse().is_some() => {
                return Err(RegistryError::Unavailable(Uncertain.into()));
            }
            record => record.ok_or(RegistryError::AgentNotFound(id))?,
        };
        self.metrics.heartbeats.inc();
        Ok(HeartbeatAnswer {
            status: Outcome::Success,
            timestamp: now.wall,
            message: heard(&record, believed),
            resource_version: record.stored.revision,
            next_heartbeat_in: record.cadence(),
            degraded: is_degraded,
        })
    }

    /// Waits a moment for agents that are heard before this registry is told that they have registered with another one:
    /// they say which version of their record they believe in. A version that does not come is of a store that was lost,
    /// and they have to register again.
    pub async fn expect(&self, heartbeats: &[Value]) {
        // With a store of one's own nobody registers elsewhere.
        if self.store.pulse().is_none() {
            return;
        }
        let unknown = heartbeats.iter().filter(|heartbeat| {
            heartbeat["agent_id"].as_str().is_some_and(|id| self.catalog.get(id).is_none())
        });
        let believed = unknown.filter_map(|heartbeat| heartbeat["resource_version"].as_u64()).max();
        if let Some(believed) = believed.filter(|believed| *believed > self.catalog.revision())
            // Those who wait are woken by every change.
            && let Ok(_place) = self.expecting.try_acquire()
        {
            let _ = timeout(UNDERWAY, self.catalog.progress.reached(believed)).await;
        }
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

    /// One agent as a document of others, which is JSON as well.
    ///
    /// # Errors
    /// When it is not registered, or does not speak the protocol that the document is for.
    pub fn exported(&self, id: &str, format: Format) -> Result<Bytes, RegistryError> {
        Ok(export::document(&self.seated(id)?.record.stored.document, format)?.into())
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
        RegistryHealth::of(&self.catalog, &self.store, self.started, Moment::now())
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
        condition::uptime(self.started, now)
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
