//! One agent in memory: its registration as stored, its thresholds, and what is heard from it.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mesh_api::agent::Registration;
use mesh_api::health::{AgentHealth, Reported, Status};
use semver::Version;
use serde::Deserialize;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::facets::Facet;
use super::layout::Layout;
use super::outline;
use super::vitals::Vitals;
use crate::health::{AgentTypes, Thresholds, Vantage};
use crate::store::change::Stored;

/// One agent in memory. Replaced when its registration changes; its vitals live on.
#[derive(Debug)]
pub struct Record {
    /// Its registration as stored.
    pub stored: Arc<Stored>,
    /// How long it may be silent.
    pub thresholds: Thresholds,
    /// What is heard from it.
    pub vitals: Arc<Vitals>,
    /// Where the parts of its document lie.
    pub layout: Layout,
    /// What answers add to the document and never changes, as JSON without braces.
    pub tail: Box<str>,
    /// What it can be asked for exactly.
    pub facets: Box<[Facet]>,
    /// Differs when the record differs, in any registry that has it.
    pub fingerprint: u64,
    health_interval: f64,
}

impl Record {
    /// The record of what is stored, whose outline is `outline`.
    ///
    /// # Errors
    /// When the document is none of ours.
    pub fn new(
        stored: Arc<Stored>,
        outline: &Registration,
        types: &AgentTypes,
        vitals: Arc<Vitals>,
    ) -> serde_json::Result<Self> {
        let layout = Layout::of(&stored.document, &order(outline))?;
        let tail = tail(&stored)?;
        let fingerprint = xxh3_64_with_seed(tail.as_bytes(), xxh3_64(stored.document.as_bytes()));
        Ok(Self {
            thresholds: types.thresholds(outline),
            health_interval: outline.health_interval,
            facets: Facet::of_agent(outline),
            fingerprint,
            stored,
            vitals,
            layout,
            tail,
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.stored.id
    }

    /// What can be asked of what the agent said when it registered.
    pub fn outline(&self) -> Registration {
        // INVARIANT: a record is only made of a document whose outline has been read.
        #[expect(clippy::expect_used, reason = "the record was made from this document")]
        outline::read(&self.stored.document).expect("a record's document has an outline")
    }

    /// Name and version of capability number `index`, in the order of answers.
    pub fn capability(&self, index: usize) -> Option<(String, Version)> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
            version: Version,
        }
        let json = self.layout.capabilities.get(index)?.span.bytes(&self.stored.document);
        serde_json::from_slice::<Named>(json).ok().map(|Named { name, version }| (name, version))
    }

    /// The status that follows from what is heard.
    pub fn derived_status(&self, from: Vantage) -> Status {
        self.vitals.signs().status(&self.thresholds, from)
    }

    /// How often the registry wants to hear it, in seconds.
    pub fn cadence(&self) -> f64 {
        self.thresholds.cadence(self.health_interval)
    }

    /// What is known about its health, if its status is `status`.
    pub fn health(&self, status: Status, from: Vantage) -> AgentHealth {
        let signs = self.vitals.signs();
        let last = self.vitals.last_heartbeat();
        let silence = from.now.saturating_duration_since(signs.silent_since).as_secs_f64();
        AgentHealth {
            agent_id: self.id().to_owned(),
            status,
            last_heartbeat: last,
            next_heartbeat_expected: last.and_then(|last| later(last, self.cadence())),
            time_since_heartbeat: last.map(|_| rounded(silence)),
            timeout_threshold: self.thresholds.timeout.as_secs_f64(),
            eviction_threshold: self.thresholds.eviction.as_secs_f64(),
            is_expired: status == Status::Expired,
            message: self.message(status, signs.reported, signs.heard, silence),
        }
    }

    fn message(&self, status: Status, reported: Reported, heard: bool, silence: f64) -> String {
        let id = self.id();
        let (timeout, eviction) =
            (self.thresholds.timeout.as_secs_f64(), self.thresholds.eviction.as_secs_f64());
        let silent = if heard { "silent" } else { "registered and never heard" };
        match status {
            Status::Pending => format!("agent {id} has registered, no heartbeat yet"),
            Status::Healthy => format!("agent {id} is healthy"),
            Status::Degraded if reported == Reported::Degraded && heard => {
                format!("agent {id} says it is degraded")
            }
            Status::Degraded => format!("agent {id} is {silent} for {silence:.1} s, longer than {timeout} s"),
            Status::Draining => format!("agent {id} is draining and takes no new work"),
            Status::Offline => format!("agent {id} said that it goes offline"),
            Status::Expired => format!("agent {id} is {silent} for {silence:.1} s, longer than {eviction} s"),
        }
    }
}

/// The places of an agent's capabilities in its document, by name and then by version: the order of answers.
pub fn order(registration: &Registration) -> Vec<usize> {
    let capabilities = &registration.capabilities;
    let mut order = (0..capabilities.len()).collect::<Vec<_>>();
    order.sort_unstable_by_key(|i| (&capabilities[*i].name, &capabilities[*i].version));
    order
}

fn tail(stored: &Stored) -> serde_json::Result<Box<str>> {
    let owner = serde_json::to_string(&stored.owner)?;
    let mut tail = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        tail,
        r#""created_at":"{}","updated_at":"{}","resource_version":{},"incarnation":{},"owner":{owner}"#,
        stored.created_at, stored.updated_at, stored.revision, stored.incarnation,
    );
    Ok(tail.into_boxed_str())
}

fn later(time: Timestamp, seconds: f64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

/// Seconds to the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
