//! How far the change stream has been applied, and whoever waits for a revision to show.

use super::bell::Bell;

/// Stands for a change stream that has ended: no store gets so far.
const NO_MORE: u64 = u64::MAX;

/// How far the change stream has been applied.
#[derive(Debug, Default)]
pub struct Progress {
    /// The revision that has been applied.
    applied: Bell,
}

/// The change stream has ended: what is waited for will not show any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the catalog gets no changes any more")]
pub struct Abandoned;

impl Progress {
    /// `revision` has been applied.
    pub fn advance(&self, revision: u64) {
        self.applied.ring(revision);
    }

    /// No more will be applied.
    pub fn abandon(&self) {
        self.applied.ring(NO_MORE);
    }

    /// Waits until `revision` has been applied.
    ///
    /// # Errors
    /// When it will not be.
    pub async fn reached(&self, revision: u64) -> Result<(), Abandoned> {
        let (list, mut applied) = (self.applied.list(), self.applied.number());
        while applied < revision {
            applied = self.applied.after(list, applied).await;
        }
        if applied == NO_MORE { Err(Abandoned) } else { Ok(()) }
    }
}
