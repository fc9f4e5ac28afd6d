//! When last something changed that answers may show: of everything, and of each facet. Pure.

use super::facets::{self, Facet};

/// Counts the changes.
#[derive(Debug)]
pub struct Editions {
    /// Of everything.
    newest: u64,
    /// By facet: which change was the last.
    of: Box<[u64]>,
}

/// What an answer depends on, and what that had come to when the answer was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    facet: Option<Facet>,
    edition: u64,
}

impl Default for Editions {
    fn default() -> Self {
        Self { newest: 0, of: vec![0; facets::COUNT].into() }
    }
}

impl Editions {
    /// An agent has changed that has these facets, or had them.
    pub fn advance<'f>(&mut self, facets: impl IntoIterator<Item = &'f Facet>) {
        self.newest += 1;
        for facet in facets {
            if let Some(edition) = self.of.get_mut(facet.index()) {
                *edition = self.newest;
            }
        }
    }

    /// Anything may have changed.
    pub fn advance_all(&mut self) {
        self.newest += 1;
        self.of.fill(self.newest);
    }

    /// The mark of an answer that is given now and shows only agents with `facet`.
    pub fn mark(&self, facet: Option<Facet>) -> Mark {
        Mark { facet, edition: self.of_facet(facet) }
    }

    /// Whether nothing has changed that an answer with this mark may show.
    pub fn is_current(&self, mark: Mark) -> bool {
        self.of_facet(mark.facet) == mark.edition
    }

    fn of_facet(&self, facet: Option<Facet>) -> u64 {
        facet.map_or(self.newest, |facet| self.of.get(facet.index()).copied().unwrap_or(self.newest))
    }
}
