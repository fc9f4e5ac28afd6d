//! The one way by which registrations change: plan against the catalog, commit to the store, wait for the catalog.
//!
//! The service registers and unregisters through it, the sweeper removes through it. Nothing else commits.

use std::sync::Arc;

use mesh_api::agent::Registration;
use tokio::time::timeout;

use crate::catalog::Catalog;
use crate::catalog::progress::Abandoned;
use crate::catalog::record::Record;
use crate::catalog::seats::Seated;
use crate::error::RegistryError;
use crate::moment::Moment;
use crate::store::Store;
use crate::store::change::{Change, Draft, Stored};
use crate::store::error::CommitError;

/// Times a registration is tried while others change the same agent. Each round somebody wins, so this is how many
/// may register under one id at the same moment.
const ATTEMPTS: u32 = 64;

/// Changes registrations.
#[derive(Debug)]
pub struct Registrar {
    catalog: Arc<Catalog>,
    store: Arc<Store>,
}

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The id is new, or begins a new life.
    Created(u64),
    /// The document has changed.
    Updated(u64),
    /// The document is the one that was registered.
    Unchanged(u64),
}

/// A store that is shared was written, and does not tell us so.
#[derive(Debug, thiserror::Error)]
#[error("the change is made, but this registry has not been told of it in time")]
struct NotShown;

impl Registrar {
    /// Changes `store`, as `catalog` sees it.
    pub fn new(catalog: Arc<Catalog>, store: Arc<Store>) -> Self {
        Self { catalog, store }
    }

    /// Creates or replaces a registration; durable and visible when it returns.
    ///
    /// # Errors
    /// When others keep changing the agent, or the store cannot be written.
    pub async fn register(&self, registration: Registration) -> Result<Effect, RegistryError> {
        let document = document(&registration);
        for _ in 0..ATTEMPTS {
            let current = self.catalog.get(&registration.id);
            let plan = plan(current.as_ref(), &registration, &document, Moment::now());
            let (draft, expected) = match plan {
                Plan::Keep(revision) => {
                    if self.is_current(&registration.id, revision).await? {
                        return Ok(Effect::Unchanged(revision));
                    }
                    continue;
                }
                Plan::Put(draft, expected) => (draft, expected),
            };
            let is_new_life = draft.incarnation.is_none();
            if let Some(revision) = self.commit(Change::Put(draft), expected).await? {
                return Ok(if is_new_life { Effect::Created(revision) } else { Effect::Updated(revision) });
            }
        }
        Err(RegistryError::Conflict(registration.id))
    }

    /// Removes the registration of `id` and returns the revision of its removal.
    ///
    /// # Errors
    /// When there is none, others keep changing it, or the store cannot be written.
    pub async fn unregister(&self, id: &str) -> Result<u64, RegistryError> {
        for _ in 0..ATTEMPTS {
            match self.catalog.get(id) {
                Some(seated) => {
                    if let Some(revision) = self.remove(&seated.record).await? {
                        return Ok(revision);
                    }
                }
                None if self.is_current(id, 0).await? => {
                    return Err(RegistryError::AgentNotFound(id.to_owned()));
                }
                None => {}
            }
        }
        Err(RegistryError::Conflict(id.to_owned()))
    }

    /// Removes a registration unless it has changed meanwhile: then `None`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove(&self, record: &Record) -> Result<Option<u64>, RegistryError> {
        self.commit(Change::Remove(Arc::clone(&record.stored.id)), record.stored.revision).await
    }

    /// Commits a change and waits until the catalog shows it. After a conflict it waits until the catalog shows what
    /// the change was in conflict with, and returns `None`.
    async fn commit(&self, change: Change, expected: u64) -> Result<Option<u64>, RegistryError> {
        match self.store.commit(change, expected).await {
            Ok(revision) => self.shown(revision).await.map(|()| Some(revision)),
            Err(fault) => self.overtaken(fault).await.map(|()| None),
        }
    }

    /// Whether the record that the catalog shows, if it shows one, is what the store holds: another registry may have
    /// changed it, and nothing is acknowledged that is not so. Otherwise it waits until the catalog shows it.
    async fn is_current(&self, id: &str, revision: u64) -> Result<bool, RegistryError> {
        match self.store.confirm(id, revision).await {
            Ok(()) => Ok(true),
            Err(fault) => self.overtaken(fault).await.map(|()| false),
        }
    }

    /// After a conflict, waits until the catalog shows what there was a conflict with.
    async fn overtaken(&self, fault: CommitError) -> Result<(), RegistryError> {
        match fault {
            CommitError::Conflict { at } => self.shown(at).await,
            CommitError::Full(_) => Err(RegistryError::StorageFull(fault.into())),
            CommitError::TooLarge(_) => Err(RegistryError::TooLarge(fault.into())),
            _ => Err(RegistryError::Unavailable(fault.into())),
        }
    }

    /// Waits until the catalog has come to a revision.
    async fn shown(&self, revision: u64) -> Result<(), RegistryError> {
        match timeout(self.store.patience(), self.catalog.progress.reached(revision)).await {
            Ok(reached) => reached.map_err(|fault: Abandoned| RegistryError::Unavailable(fault.into())),
            Err(_) => Err(RegistryError::Unavailable(NotShown.into())),
        }
    }
}

/// What a registration means for the record that is there.
#[derive(Debug, PartialEq)]
enum Plan {
    /// Nothing: it is the document of this revision.
    Keep(u64),
    /// Put this in place of the record of this revision.
    Put(Box<Draft>, u64),
}

/// An agent that had expired or gone offline begins a new life, even with the same document.
fn plan(current: Option<&Seated>, registration: &Registration, document: &str, now: Moment) -> Plan {
    let lives = |seated: &&Seated| !seated.status.is_gone();
    let alive = current.filter(lives).map(|seated| &*seated.record.stored);
    if let Some(stored) = alive.filter(|stored| says_the_same(stored, registration, document)) {
        return Plan::Keep(stored.revision);
    }
    let current = current.map(|seated| &*seated.record.stored);
    let draft = Draft {
        id: registration.id.as_str().into(),
        document: document.into(),
        created_at: current.map_or(now.wall, |stored| stored.created_at),
        updated_at: now.wall,
        owner: current.and_then(|stored| stored.owner.clone()),
        incarnation: alive.map(|stored| stored.incarnation),
    };
    Plan::Put(Box::new(draft), current.map_or(0, |stored| stored.revision))
}

/// Documents that differ as texts are the same when only the order of keys differs.
fn says_the_same(stored: &Stored, registration: &Registration, document: &str) -> bool {
    *stored.document == *document || stored.registration().is_ok_and(|known| known == *registration)
}

fn document(registration: &Registration) -> String {
    // Texts, numbers and lists of them have no way not to become JSON.
    serde_json::to_string(registration).unwrap_or_default()
}
