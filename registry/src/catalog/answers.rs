//! Answers that were given already, by what asked for them.
//!
//! An answer is given again while nothing has changed that it shows; no time is involved. What all answers show, who is
//! there and in which status, is a counter that is compared. When an agent was last heard, and what it said then, shows
//! in lists of agents alone: those are rendered anew when it has changed, and not looked for again.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::listing::Rows;
use super::query::Kind;

/// Longest query string that is remembered, in bytes.
const MAX_QUERY: usize = 1_024;
/// Most bytes of rows that are kept in all.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Answers that were given already.
#[derive(Debug)]
pub struct Answers {
    kept: Mutex<Kept>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// What the catalog had come to when these answers were given.
    edition: u64,
    rows: [HashMap<Box<str>, Arc<Rows>>; 2],
    bytes: usize,
}

impl Answers {
    /// Keeps at most `capacity` answers.
    pub fn new(capacity: usize) -> Self {
        Self { kept: Mutex::default(), capacity }
    }

    /// The answer to `query`, if it was given at this edition of the catalog.
    pub fn get(&self, kind: Kind, query: &str, edition: u64) -> Option<Arc<Rows>> {
        let kept = self.lock();
        kept.rows[kind as usize].get(query).filter(|_| kept.edition == edition).cloned()
    }

    /// The rows of an answer that is kept, as of now; kept so, too.
    pub fn refresh(&self, kind: Kind, query: &str, edition: u64, kept: Arc<Rows>) -> Arc<Rows> {
        let rows = Arc::clone(&kept).refreshed();
        if !Arc::ptr_eq(&kept, &rows) {
            self.keep(kind, query, edition, &rows);
        }
        rows
    }

    /// Keeps an answer that was given at this edition. The answers of older editions go, and all go when there is no
    /// room: those that are asked for again are soon back.
    pub fn keep(&self, kind: Kind, query: &str, edition: u64, rows: &Arc<Rows>) {
        let Some(bytes) = rows.keepable_bytes().filter(|_| query.len() <= MAX_QUERY) else { return };
        let mut kept = self.lock();
        if edition < kept.edition || self.capacity == 0 {
            return;
        }
        let replaced = kept.take(kind, query);
        let is_full = kept.count() >= self.capacity || kept.bytes + bytes > MAX_BYTES;
        let emptied = (edition > kept.edition || is_full)
            .then(|| mem::replace(&mut *kept, Kept { edition, ..Kept::default() }));
        kept.rows[kind as usize].insert(query.into(), Arc::clone(rows));
        kept.bytes += bytes;
        drop(kept);
        // Thousands of answers are freed when nobody waits for the lock any more.
        drop((replaced, emptied));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn count(&self) -> usize {
        self.rows.iter().map(HashMap::len).sum()
    }

    fn take(&mut self, kind: Kind, query: &str) -> Option<Arc<Rows>> {
        let taken = self.rows[kind as usize].remove(query)?;
        self.bytes -= taken.keepable_bytes().unwrap_or_default();
        Some(taken)
    }
}
