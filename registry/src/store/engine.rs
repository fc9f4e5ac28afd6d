//! The seam between the registry and whatever keeps its registrations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use tokio::time::Instant;

use super::change::{Beats, Change};
use super::error::{CommitError, OpenError};
use super::follower::Changes;

/// A place where registrations are kept.
pub trait Engine: fmt::Debug + Send + Sync {
    /// A snapshot of everything, followed by every change from there on, without a gap.
    fn changes(&self) -> BoxFuture<'_, Result<Changes, OpenError>>;

    /// Makes one change durable if the agent's record still has revision `expected` (0: there is none), and answers
    /// its revision. Followers have been told by the time the answer comes.
    fn commit(&self, change: Change, expected: u64) -> BoxFuture<'_, Result<u64, CommitError>>;

    /// Whether the record of `id` still has revision `expected` (0: there is none), for those who share the store and
    /// may not have been told of everything.
    ///
    /// # Errors
    /// A conflict when it has not.
    fn confirm<'e>(&'e self, _id: &'e str, _expected: u64) -> BoxFuture<'e, Result<(), CommitError>> {
        ready(Ok(())).boxed()
    }

    /// Keeps when agents were last heard; agents that are not in `beats` keep what was kept before. Sets aside
    /// `noticed` revisions for what the registry noticed by itself, and tells followers of them.
    /// Answers the revision that was reached.
    fn flush(&self, beats: Arc<Beats>, noticed: u64) -> BoxFuture<'_, Result<u64, CommitError>>;

    /// How often to flush even when there is nothing to tell, because other registries that share the store take it for a
    /// sign of life; `None` when nobody does.
    fn pulse(&self) -> Option<Duration> {
        None
    }

    /// Whether it is time for [`Self::sum_up`].
    fn is_sum_due(&self) -> bool {
        false
    }

    /// Keeps when each agent was last heard that was last heard here, in place of all flushes before.
    fn sum_up(&self, _beats: Arc<Beats>) -> BoxFuture<'_, Result<(), CommitError>> {
        ready(Ok(())).boxed()
    }

    /// What followers may not have been told that others wrote, if there may be something.
    fn gap(&self) -> Option<Gap> {
        None
    }

    /// Tells the others who share the store that this registry will be gone.
    fn leave(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

/// Something that was written may not have come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Everything from before has.
    pub since: Instant,
    /// What may be missing.
    pub cause: Cause,
}

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Anything.
    Store,
    /// Whom another registry hears.
    Replica,
}
