//! How much the catalog keeps.

use std::time::Duration;

/// What the catalog keeps, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// Most answers that are kept to be given again.
    pub answers: usize,
    /// Most changes that are kept for watchers.
    pub changes: usize,
    /// How far apart registries that share a store may be in noticing the same change of status; zero when there is only
    /// one.
    pub overlap: Duration,
    /// How long agents are kept that have expired.
    pub retention: Duration,
}
