//! The seam between the registry and whatever keeps its registrations.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

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

    /// Keeps when agents were last heard; agents that are not in `beats` keep what was kept before. Sets aside
    /// `noticed` revisions for what the registry noticed by itself, and tells followers of them.
    /// Answers the revision that was reached.
    fn flush(&self, beats: Arc<Beats>, noticed: u64) -> BoxFuture<'_, Result<u64, CommitError>>;
}
