//! The task that feeds the catalog from the store's change stream. One path for every engine and every change.

use std::sync::Arc;

use tokio::time::Instant;

use crate::catalog::Catalog;
use crate::catalog::arrival::Unreadable;
use crate::store::follower::Changes;

/// Feeds the catalog.
#[derive(Debug)]
pub struct Feed {
    changes: Changes,
    catalog: Arc<Catalog>,
}

/// The store ended its change stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store ended its change stream")]
pub struct StreamEnded;

/// Why the catalog cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The store is gone.
    #[error(transparent)]
    Ended(#[from] StreamEnded),
    /// The store holds what is no registration.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Feed {
    /// Feeds `catalog` from `changes`; the first meal, the snapshot, is in when this returns.
    ///
    /// # Errors
    /// When the store has no snapshot to give, or one with what is no registration.
    pub async fn start(changes: Changes, catalog: Arc<Catalog>) -> Result<Self, FeedError> {
        let mut this = Self { changes, catalog };
        this.step().await??;
        Ok(this)
    }

    /// Works until the store ends its stream, which it does not while it is well.
    pub async fn run(mut self) -> StreamEnded {
        loop {
            match self.step().await {
                Ok(Ok(())) => {}
                // The others are served all the same; whoever wrote this one is told by this line alone.
                Ok(Err(fault)) => {
                    tracing::error!(%fault, reason = %fault.source, "a registration was passed over")
                }
                Err(ended) => {
                    self.catalog.progress.abandon();
                    return ended;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Result<(), Unreadable>, StreamEnded> {
        let events = self.changes.next().await;
        if events.is_empty() {
            return Err(StreamEnded);
        }
        Ok(self.catalog.apply(events, Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::keeping::Keeping;
    use crate::catalog::progress::Abandoned;
    use crate::health::AgentTypes;
    use crate::store::change::Snapshot;
    use crate::store::follower::Followers;

    #[tokio::test]
    async fn when_the_stream_ends_nobody_waits_in_vain() {
        let mut followers = Followers::default();
        let changes = followers.add(Snapshot::default());
        let keeping = Keeping {
            answers: 1,
            changes: 1,
            overlap: std::time::Duration::ZERO,
            retention: std::time::Duration::ZERO,
        };
        let catalog = Arc::new(Catalog::new(AgentTypes::default(), keeping, Instant::now()));
        let feed = Feed::start(changes, Arc::clone(&catalog)).await.unwrap();
        drop(followers);
        assert_eq!(feed.run().await, StreamEnded);
        assert_eq!(catalog.progress.reached(1).await, Err(Abandoned));
    }
}
