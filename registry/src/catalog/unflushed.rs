//! Agents whose latest heartbeat the store has not been told: each once, however often it is heard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Record;

/// Agents whose latest heartbeat the store has not been told.
#[derive(Debug, Default)]
pub struct Unflushed(Mutex<Vec<Arc<Record>>>);

impl Unflushed {
    /// Adds one that is not there yet.
    pub fn push(&self, record: Arc<Record>) {
        self.lock().push(record);
    }

    /// All of them, to tell the store.
    pub fn take(&self) -> Vec<Arc<Record>> {
        std::mem::take(&mut *self.lock())
    }

    /// The store could not be told of these after all.
    pub fn keep(&self, records: Vec<Arc<Record>>) {
        self.lock().extend(records.into_iter().filter(|record| record.vitals.keep_unflushed()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
