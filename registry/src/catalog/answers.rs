//! Answers that were given already, by what asked for them.
//!
//! An answer is given again while nothing has changed that it may show; no time is involved. Who is there and in which
//! status has a mark that is compared. When an agent was last heard, and what it said then, shows in lists of agents
//! alone: those are rendered anew when it has changed, and not looked for again.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::editions::Mark;
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
    answers: [HashMap<Box<str>, Answer>; 2],
    bytes: usize,
}

/// An answer that was given.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its rows.
    pub rows: Arc<Rows>,
    /// It would be the same while this is current.
    pub mark: Mark,
}

impl Answers {
    /// Keeps at most `capacity` answers.
    pub fn new(capacity: usize) -> Self {
        Self { kept: Mutex::default(), capacity }
    }

    /// The answer that was given to `query`, which may be of the past.
    pub fn get(&self, kind: Kind, query: &str) -> Option<Answer> {
        self.lock().answers[kind as usize].get(query).cloned()
    }

    /// The rows of an answer that is kept, as of now; kept so, too.
    pub fn refresh(&self, kind: Kind, query: &str, kept: Answer) -> Arc<Rows> {
        let rows = Arc::clone(&kept.rows).refreshed();
        if !Arc::ptr_eq(&kept.rows, &rows) {
            self.keep(kind, query, Answer { rows: Arc::clone(&rows), ..kept });
        }
        rows
    }

    /// Keeps an answer in place of the one before. All go when there is no room: those that are asked for again are
    /// soon back.
    pub fn keep(&self, kind: Kind, query: &str, answer: Answer) {
        let Some(bytes) = answer.rows.keepable_bytes().filter(|_| query.len() <= MAX_QUERY) else { return };
        if self.capacity == 0 {
            return;
        }
        let mut kept = self.lock();
        let replaced = kept.take(kind, query);
        let is_full = kept.count() >= self.capacity || kept.bytes + bytes > MAX_BYTES;
        let emptied = is_full.then(|| mem::take(&mut *kept));
        kept.answers[kind as usize].insert(query.into(), answer);
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
        self.answers.iter().map(HashMap::len).sum()
    }

    fn take(&mut self, kind: Kind, query: &str) -> Option<Answer> {
        let taken = self.answers[kind as usize].remove(query)?;
        self.bytes -= taken.rows.keepable_bytes().unwrap_or_default();
        Some(taken)
    }
}
