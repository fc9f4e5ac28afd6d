//! What a store keeps, what changes it, and what it tells its followers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::agent::Registration;
use mesh_api::health::Reported;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A registration as it is kept. Its JSON is kept and not its fields: that is a third of the memory, and what answers
/// are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The agent.
    pub id: Arc<str>,
    /// What the agent said, as the JSON of a [`Registration`].
    pub document: Box<str>,
    /// When the id first registered.
    pub created_at: Timestamp,
    /// When the registration last changed.
    pub updated_at: Timestamp,
    /// Who registered it, when that is known.
    pub owner: Option<Box<str>>,
    /// Revision of the registration that began the agent's present life.
    pub incarnation: u64,
    /// Revision of the last change.
    pub revision: u64,
}

/// A registration on its way into the store, which gives it its revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The agent.
    pub id: Arc<str>,
    /// What the agent said, as the JSON of a [`Registration`].
    pub document: Box<str>,
    /// When the id first registered.
    pub created_at: Timestamp,
    /// When the registration changed.
    pub updated_at: Timestamp,
    /// Who registers it, when that is known.
    pub owner: Option<Box<str>>,
    /// Revision that began the agent's present life; `None` when this registration does.
    pub incarnation: Option<u64>,
}

/// Something to be made durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Create or replace a registration.
    Put(Box<Draft>),
    /// Remove the registration of this id.
    Remove(Arc<str>),
}

/// What a follower is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// Everything there is. Replaces what a follower knew.
    Snapshot(Snapshot),
    /// One thing has changed.
    Changed(Changed),
}

/// Something that has been made durable.
#[derive(Debug, Clone)]
pub enum Changed {
    /// A registration was created or replaced.
    Put(Arc<Stored>),
    /// The registration of `id` was removed.
    Removed {
        /// The agent.
        id: Arc<str>,
        /// The revision of the removal.
        revision: u64,
    },
    /// Another registry has heard these agents.
    Heard {
        /// Whom and when.
        heard: Vec<(String, Beat)>,
        /// The revision at which it said so.
        revision: u64,
    },
    /// Another registry is gone, and what it heard in the end was not told.
    Lost {
        /// Its number.
        replica: u32,
        /// When the last of what it heard was told.
        heard: Instant,
        /// The revision of its loss.
        revision: u64,
    },
    /// No registration has changed: the revisions up to this one are for what the registry itself noticed.
    SetAside {
        /// The last of them.
        revision: u64,
    },
}

/// Everything there is at one revision.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The newest revision.
    pub revision: u64,
    /// Every registration.
    pub agents: Vec<Arc<Stored>>,
    /// When agents were last heard, as far as that was flushed.
    pub beats: Beats,
}

/// When agents were last heard, by id.
pub type Beats = BTreeMap<String, Beat>;

/// When an agent was last heard, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The incarnation that was heard; a later one under the same id has not been.
    pub life: u64,
    /// What it said about itself.
    #[serde(default, skip_serializing_if = "is_healthy")]
    pub reported: Reported,
    /// The metadata that its heartbeats brought, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Box<str>>,
    /// By whom it was heard, and how long ago; `None` when that was before a restart. Not kept.
    #[serde(skip)]
    pub via: Option<Via>,
}

/// By whom an agent was heard, and how long ago, by a clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via {
    /// The number of the registry; [`HERE`] is this one.
    pub replica: u32,
    /// For how long it has been silent, as that registry judges it: silence is counted anew now and then.
    pub ago: Duration,
    /// How long ago it was heard, at least: what was heard later counts.
    pub heard: Duration,
}

/// The number of this registry among those that share a store.
pub const HERE: u32 = 0;

fn is_healthy(reported: &Reported) -> bool {
    *reported == Reported::Healthy
}

// === impl Stored ===

impl Stored {
    /// What the agent said.
    ///
    /// # Errors
    /// When the document is none of ours.
    pub fn registration(&self) -> serde_json::Result<Registration> {
        serde_json::from_str(&self.document)
    }
}

// === impl Draft ===

impl Draft {
    /// The registration with its revision.
    pub fn at(self, revision: u64) -> Stored {
        Stored {
            id: self.id,
            document: self.document,
            created_at: self.created_at,
            updated_at: self.updated_at,
            owner: self.owner,
            incarnation: self.incarnation.unwrap_or(revision),
            revision,
        }
    }
}

// === impl Beat ===

impl Beat {
    /// This one, after `earlier`: what an agent said holds until it says something else.
    pub fn after(self, earlier: Option<&Self>) -> Self {
        let said =
            earlier.filter(|earlier| earlier.life == self.life).and_then(|earlier| earlier.said.clone());
        Self { said: self.said.or(said), ..self }
    }
}

/// Adds what was heard later.
pub fn add(beats: &mut Beats, later: impl IntoIterator<Item = (String, Beat)>) {
    for (id, beat) in later {
        let beat = beat.after(beats.get(&id));
        beats.insert(id, beat);
    }
}

// === impl Changed ===

impl Changed {
    /// The revision that was reached with it.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put(stored) => stored.revision,
            Self::Removed { revision, .. }
            | Self::Heard { revision, .. }
            | Self::Lost { revision, .. }
            | Self::SetAside { revision } => *revision,
        }
    }
}

// === impl Change ===

impl Change {
    /// The agent that changes.
    pub fn id(&self) -> &str {
        match self {
            Self::Put(draft) => &draft.id,
            Self::Remove(id) => id,
        }
    }

    /// What has changed when this has become revision `revision`.
    pub fn at(self, revision: u64) -> Changed {
        match self {
            Self::Put(draft) => Changed::Put(Arc::new(draft.at(revision))),
            Self::Remove(id) => Changed::Removed { id, revision },
        }
    }
}
