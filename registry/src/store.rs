//! What makes registrations durable and carries changes to the catalog.
//!
//! Engines differ in where they keep things; [`Store`] adds to each the patience of callers and the memory of whether
//! it could be written. The catalog is fed by [`Store::changes`] and by nothing else: that stream opens with a
//! snapshot, tells every change in the order of revisions, and opens anew should an engine have missed some. Health
//! is never stored; heartbeats come in batches, so that a restart knows who had been heard, and with each batch the
//! changes of health since the last one get revisions of their own.

pub mod etcd;
pub mod file;
pub mod memory;

pub mod engine;
pub mod follower;

pub mod change;
pub mod error;

pub mod url;

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use self::change::{Beats, Change, Snapshot};
use self::engine::{Engine, Gap};
use self::error::{CommitError, FillError, OpenError};
use self::etcd::Etcd;
use self::file::File;
use self::follower::Changes;
use self::memory::Memory;
use self::url::StoreUrl;

/// Everything that a store holds, without opening it for writing: whoever uses it goes on.
///
/// # Errors
/// When it is not there or cannot be read, or keeps nothing.
pub async fn read(url: &StoreUrl) -> Result<Snapshot, OpenError> {
    match url {
        StoreUrl::Memory => Err(OpenError::Volatile),
        StoreUrl::File(directory) => file::read(directory),
        StoreUrl::Etcd(endpoints) => etcd::read(endpoints).await,
    }
}

/// Fills a store in which nothing has been written yet. Returns whether that was so; otherwise nothing has happened.
///
/// # Errors
/// When it cannot be opened or written, or keeps nothing.
pub async fn fill(url: &StoreUrl, snapshot: &Snapshot) -> Result<bool, FillError> {
    match url {
        StoreUrl::Memory => Err(OpenError::Volatile.into()),
        StoreUrl::File(directory) => file::fill(directory, snapshot),
        StoreUrl::Etcd(endpoints) => etcd::fill(endpoints, snapshot).await,
    }
}

/// An engine, and what is known about its well-being.
#[derive(Debug)]
pub struct Store {
    engine: Arc<dyn Engine>,
    patience: Duration,
    trouble: RwLock<Option<String>>,
}

impl Store {
    /// Opens the engine that `url` names; callers wait at most `patience` for each write.
    ///
    /// # Errors
    /// When the engine cannot be opened, or what it holds cannot be used.
    pub async fn open(url: &StoreUrl, patience: Duration) -> Result<Self, OpenError> {
        let engine: Arc<dyn Engine> = match url {
            StoreUrl::Memory => Arc::new(Memory::default()),
            StoreUrl::File(directory) => Arc::new(File::open(directory).await?),
            StoreUrl::Etcd(endpoints) => Arc::new(Etcd::open(endpoints).await?),
        };
        Ok(Self::over(engine, patience))
    }

    /// A store over an engine that is open already.
    pub fn over(engine: Arc<dyn Engine>, patience: Duration) -> Self {
        Self { engine, patience, trouble: RwLock::default() }
    }

    /// A snapshot of everything, followed by every change from there on.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a row that is no registration.
    pub async fn changes(&self) -> Result<Changes, OpenError> {
        self.engine.changes().await
    }

    /// Makes one change durable, if the agent's record still has revision `expected` (0: there is none).
    ///
    /// # Errors
    /// A conflict when the record has another revision; otherwise why it could not be written.
    pub async fn commit(&self, change: Change, expected: u64) -> Result<u64, CommitError> {
        let result = self.within_patience(self.engine.commit(change, expected)).await;
        self.note(result.as_ref().err());
        result
    }

    /// Whether the record of `id` still has revision `expected` (0: there is none).
    ///
    /// # Errors
    /// A conflict when it has not; otherwise why that is not known.
    pub async fn confirm(&self, id: &str, expected: u64) -> Result<(), CommitError> {
        let result = self.within_patience(self.engine.confirm(id, expected)).await;
        // That it can be read does not show that it can be written.
        if result.is_err() {
            self.note(result.as_ref().err());
        }
        result
    }

    /// Keeps when agents were last heard, and sets `noticed` revisions aside for changes of health. Returns the revision
    /// that was reached.
    ///
    /// # Errors
    /// Why it could not be written.
    pub async fn flush(&self, beats: Arc<Beats>, noticed: u64) -> Result<u64, CommitError> {
        let flushing = self.engine.flush(beats, noticed);
        let result = self.within_limits(flushing).await;
        self.note(result.as_ref().err());
        result
    }

    /// How often to flush even when there is nothing to tell, if other registries wait for it.
    pub fn pulse(&self) -> Option<Duration> {
        self.engine.pulse()
    }

    /// Whether it is time for [`Self::sum_up`].
    pub fn is_sum_due(&self) -> bool {
        self.engine.is_sum_due()
    }

    /// Keeps when each agent was last heard that was last heard here, in place of all flushes before.
    ///
    /// # Errors
    /// Why it could not be written. It is due again then.
    pub async fn sum_up(&self, beats: Arc<Beats>) -> Result<(), CommitError> {
        let result = self.within_limits(self.engine.sum_up(beats)).await;
        self.note(result.as_ref().err());
        result
    }

    /// What was written by others and may not have come by, if there may be something.
    pub fn gap(&self) -> Option<Gap> {
        self.engine.gap()
    }

    /// Tells others who share the store that this registry will be gone.
    pub async fn leave(&self) {
        self.engine.leave().await;
    }

    /// How long callers wait for a write.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Why the last write failed; `None` when it did not.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is told to others may be long, and comes in parts which the engine limits itself.
    async fn within_limits<T>(
        &self,
        write: impl Future<Output = Result<T, CommitError>>,
    ) -> Result<T, CommitError> {
        if self.pulse().is_some() { write.await } else { self.within_patience(write).await }
    }

    async fn within_patience<T>(
        &self,
        write: impl Future<Output = Result<T, CommitError>>,
    ) -> Result<T, CommitError> {
        tokio::time::timeout(self.patience, write).await.unwrap_or(Err(CommitError::TimedOut(self.patience)))
    }

    fn note(&self, fault: Option<&CommitError>) {
        let trouble = fault.filter(|fault| fault.is_trouble());
        let known = self.trouble().is_some();
        if known || trouble.is_some() {
            let trouble = trouble.map(ToString::to_string);
            *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
        }
    }
}
