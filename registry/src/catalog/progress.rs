//! How far the change stream has been applied, and whoever waits for a revision to show.

use tokio::sync::watch;

/// How far the change stream has been applied.
#[derive(Debug)]
pub struct Progress {
    /// The revision that has been applied; `None` when no more will be.
    applied: watch::Sender<Option<u64>>,
}

/// The change stream has ended: what is waited for will not show any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the catalog gets no changes any more")]
pub struct Abandoned;

impl Default for Progress {
    fn default() -> Self {
        Self { applied: watch::Sender::new(Some(0)) }
    }
}

impl Progress {
    /// `revision` has been applied.
    pub fn advance(&self, revision: u64) {
        self.applied.send_replace(Some(revision));
    }

    /// No more will be applied.
    pub fn abandon(&self) {
        self.applied.send_replace(None);
    }

    /// Waits until `revision` has been applied.
    ///
    /// # Errors
    /// When it will not be.
    pub async fn reached(&self, revision: u64) -> Result<(), Abandoned> {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| applied.is_none_or(|applied| applied >= revision)).await;
        reached.ok().and_then(|applied| *applied).map(drop).ok_or(Abandoned)
    }
}
