//! Why the registry could not do what it was asked.
//!
//! The service and the rooms below it return these; `http/error.rs` alone knows which status each of them is.

use std::error::Error;

use mesh_api::document::{MAX_TOLD, cut};
use mesh_api::error::Fault;

use crate::export::NotShown;

/// A failure below the one that is reported.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why the registry could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The document has faults.
    #[error("Validation failed: {}", listed(.0))]
    InvalidDocument(Vec<Fault>),
    /// The query has faults.
    #[error("{}", query_message(.0))]
    InvalidQuery(Vec<Fault>),
    /// No agent is registered under this id.
    #[error("Agent {} not found", cut(.0))]
    AgentNotFound(String),
    /// The agent is not to be shown in the format that was asked for.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// There is no tool of this name.
    #[error("Unknown tool '{}': known are {known}", cut(.name))]
    UnknownTool {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The catalog has not come to a revision in time.
    #[error("resource version {wanted} is not reached yet, this registry has come to {reached}: try again")]
    NotReached {
        /// The revision that was asked for.
        wanted: u64,
        /// The newest one.
        reached: u64,
    },
    /// Changes that were asked for are not kept any more.
    #[error("changes are kept from resource version {kept_from} on: list again and watch from there")]
    WatchTooOld {
        /// The revision from which on one can resume.
        kept_from: u64,
    },
    /// Others kept changing the same agent.
    #[error("agent {0} is being changed by others at the same time, try again")]
    Conflict(String),
    /// The disk that makes registrations durable is full.
    #[error("the registration cannot be stored because the disk is full")]
    StorageFull(#[source] Source),
    /// The store takes no document of this size.
    #[error("the document is larger than the store takes: leave out what others need not know")]
    TooLarge(#[source] Source),
    /// The store cannot be reached now.
    #[error("the store is not available, try again")]
    Unavailable(#[source] Source),
}

/// A selector's fault is a sentence of its own, which clients recognise by its first words.
fn query_message(faults: &[Fault]) -> String {
    match faults.iter().position(|fault| fault.path == "label_selector") {
        Some(selector) => {
            let others = faults.iter().enumerate().filter(|(i, _)| *i != selector);
            let sentences = others.take(MAX_TOLD).map(|(_, fault)| fault.to_string());
            let first = faults.get(selector).map(|fault| fault.message.clone());
            first.into_iter().chain(sentences).collect::<Vec<_>>().join("; ")
        }
        None => format!("Invalid query: {}", listed(faults)),
    }
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().take(MAX_TOLD).map(Fault::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selectors_fault_opens_the_message_and_the_others_follow() {
        let faults = vec![
            Fault::new("limit", "must be a number"),
            Fault::new("label_selector", "Invalid label selector at position 1: x"),
        ];
        let message = RegistryError::InvalidQuery(faults).to_string();
        assert_eq!(message, "Invalid label selector at position 1: x; 'limit' must be a number");
    }

    #[test]
    fn other_faults_of_a_query_are_listed() {
        let faults = vec![Fault::new("a", "is bad"), Fault::new("b", "is worse")];
        let message = RegistryError::InvalidQuery(faults).to_string();
        assert_eq!(message, "Invalid query: 'a' is bad; 'b' is worse");
    }
}
