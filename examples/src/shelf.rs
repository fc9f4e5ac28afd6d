//! Which of the agent's tools are offered at the moment, and who is told when that changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// Which tools are away. Clones are the same shelf.
#[derive(Debug, Clone)]
pub struct Shelf(Arc<watch::Sender<BTreeSet<String>>>);

// === impl Shelf ===

impl Shelf {
    /// A shelf on which all tools stand but those of these names.
    pub fn without(names: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(watch::Sender::new(names.into_iter().collect())))
    }

    /// Takes a tool away, or puts it back.
    pub fn set(&self, name: &str, is_offered: bool) {
        self.0.send_if_modified(|away| match is_offered {
            true => away.remove(name),
            false => away.insert(name.to_owned()),
        });
    }

    /// The names of the tools that are away.
    pub fn away(&self) -> BTreeSet<String> {
        self.0.borrow().clone()
    }

    /// Learns of every change from now on.
    pub fn watch(&self) -> watch::Receiver<BTreeSet<String>> {
        self.0.subscribe()
    }
}
