//! The task that feeds the catalog from the store's change stream. One path for every engine and every change.

use std::sync::Arc;

use tokio::time::Instant;

use crate::catalog::Catalog;
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

impl Feed {
    /// Feeds `catalog` from `changes`; the first meal, the snapshot, is in when this returns.
    ///
    /// # Errors
    /// When the store has no snapshot to give.
    pub async fn start(changes: Changes, catalog: Arc<Catalog>) -> Result<Self, StreamEnded> {
        let mut this = Self { changes, catalog };
        this.step().await?;
        Ok(this)
    }

    /// Works until the store ends its stream, which it does not while it is well.
    pub async fn run(mut self) -> StreamEnded {
        loop {
            if let Err(ended) = self.step().await {
                self.catalog.abandon();
                return ended;
            }
        }
    }

    async fn step(&mut self) -> Result<(), StreamEnded> {
        let events = self.changes.next().await;
        if events.is_empty() {
            return Err(StreamEnded);
        }
        self.catalog.apply(events, Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Abandoned;
    use crate::health::AgentTypes;
    use crate::store::change::Snapshot;
    use crate::store::follower::Followers;

    #[tokio::test]
    async fn when_the_stream_ends_nobody_waits_in_vain() {
        let mut followers = Followers::default();
        let changes = followers.add(Snapshot::default());
        let catalog = Arc::new(Catalog::new(AgentTypes::default(), Instant::now()));
        let feed = Feed::start(changes, Arc::clone(&catalog)).await.unwrap();
        drop(followers);
        assert_eq!(feed.run().await, StreamEnded);
        assert_eq!(catalog.reached(1).await, Err(Abandoned));
    }
}
