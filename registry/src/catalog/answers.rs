//! Answers that were given already, by the query string that asked for them.
//!
//! An answer is given again while nothing has changed that any answer shows: a counter is compared, no time. Heartbeats
//! change nothing that a list of capabilities shows, so that list is kept; a list of agents shows when each was last
//! heard, and is made anew every time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::listing::Rows;

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
    rows: HashMap<Box<str>, Arc<Rows>>,
    bytes: usize,
}

impl Answers {
    /// Keeps at most `capacity` answers.
    pub fn new(capacity: usize) -> Self {
        Self { kept: Mutex::default(), capacity }
    }

    /// The answer to `query`, if it was given at this edition of the catalog.
    pub fn get(&self, query: &str, edition: u64) -> Option<Arc<Rows>> {
        let kept = self.lock();
        kept.rows.get(query).filter(|_| kept.edition == edition).cloned()
    }

    /// Keeps an answer that was given at this edition. The answers of older editions go, and all go when there is no
    /// room: those that are asked for again are soon back.
    pub fn keep(&self, query: &str, edition: u64, rows: &Arc<Rows>) {
        let Some(bytes) = rows.rendered_bytes().filter(|_| query.len() <= MAX_QUERY) else { return };
        let mut kept = self.lock();
        let is_full = kept.rows.len() >= self.capacity || kept.bytes + bytes > MAX_BYTES;
        if edition < kept.edition || bytes > MAX_BYTES || self.capacity == 0 {
            return;
        }
        if edition > kept.edition || is_full {
            *kept = Kept { edition, ..Kept::default() };
        }
        kept.bytes += bytes;
        kept.rows.insert(query.into(), Arc::clone(rows));
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
