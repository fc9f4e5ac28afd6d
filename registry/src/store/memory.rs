//! The engine `memory:`, for tests and demonstrations: everything is gone with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, ready};

use super::change::{self, Beat, Beats, Change, Changed, Snapshot, Stored};
use super::engine::Engine;
use super::error::{CommitError, OpenError};
use super::follower::{Changes, Followers};

/// Keeps registrations in memory.
#[derive(Debug, Default)]
pub struct Memory {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    revision: u64,
    agents: BTreeMap<Arc<str>, Arc<Stored>>,
    beats: Beats,
    followers: Followers,
}

// === impl Memory ===

impl Memory {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn changes(&self) -> BoxFuture<'_, Result<Changes, OpenError>> {
        ready(Ok(self.contents().follow())).boxed()
    }

    fn commit(&self, change: Change, expected: u64) -> BoxFuture<'_, Result<u64, CommitError>> {
        ready(self.contents().commit(change, expected)).boxed()
    }

    fn flush(&self, beats: Arc<Beats>, noticed: u64) -> BoxFuture<'_, Result<u64, CommitError>> {
        ready(Ok(self.contents().flush(&beats, noticed))).boxed()
    }
}

// === impl Contents ===

impl Contents {
    fn follow(&mut self) -> Changes {
        let snapshot = Snapshot {
            revision: self.revision,
            agents: self.agents.values().cloned().collect(),
            beats: self.beats.clone(),
        };
        self.followers.add(snapshot)
    }

    fn commit(&mut self, change: Change, expected: u64) -> Result<u64, CommitError> {
        let current = self.agents.get(change.id()).map_or(0, |stored| stored.revision);
        if current != expected {
            return Err(CommitError::Conflict { at: self.revision });
        }
        self.revision += 1;
        let changed = change.at(self.revision);
        match &changed {
            Changed::Put(stored) => {
                self.agents.insert(Arc::clone(&stored.id), Arc::clone(stored));
            }
            Changed::Removed { id, .. } => {
                self.agents.remove(id);
                self.beats.remove(&**id);
            }
            // What a change becomes is none of these.
            Changed::Heard { .. } | Changed::Lost { .. } | Changed::SetAside { .. } => {}
        }
        self.followers.tell(&changed);
        Ok(self.revision)
    }

    fn flush(&mut self, beats: &Beats, noticed: u64) -> u64 {
        // Who was removed meanwhile is not remembered.
        let here = beats.iter().filter(|(id, _)| self.agents.contains_key(id.as_str()));
        let here = here.map(|(id, beat)| (id.clone(), Beat { via: None, ..beat.clone() }));
        change::add(&mut self.beats, here);
        if noticed > 0 {
            self.revision += noticed;
            self.followers.tell(&Changed::SetAside { revision: self.revision });
        }
        self.revision
    }
}
