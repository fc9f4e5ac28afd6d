//! Counts of everything in the catalog, for metrics. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_api::health::Status;

use super::record::Record;
use crate::health::Vantage;

/// The group of capabilities that name none.
const UNCATEGORIZED: &str = "uncategorized";

/// Counts of everything in the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Agents in every status, present or not.
    pub agents_by_status: BTreeMap<Status, usize>,
    /// Agents by namespace.
    pub agents_by_namespace: BTreeMap<String, usize>,
    /// Capabilities by category.
    pub capabilities_by_category: BTreeMap<String, usize>,
    /// Capabilities of all agents.
    pub capabilities: usize,
    /// Capabilities with different names.
    pub capability_names: usize,
}

impl Census {
    /// Counts `records`.
    pub(super) fn of<'r>(records: impl Iterator<Item = &'r Arc<Record>>, from: Vantage) -> Self {
        let mut census =
            Self { agents_by_status: Status::ALL.map(|status| (status, 0)).into(), ..Self::default() };
        let mut names = BTreeSet::new();
        for record in records {
            let agent = record.registration();
            *census.agents_by_status.entry(record.status(from)).or_default() += 1;
            count(&mut census.agents_by_namespace, &agent.namespace);
            for capability in &agent.capabilities {
                count(
                    &mut census.capabilities_by_category,
                    capability.category.as_deref().unwrap_or(UNCATEGORIZED),
                );
                names.insert(capability.name.as_str());
            }
            census.capabilities += agent.capabilities.len();
        }
        census.capability_names = names.len();
        census
    }

    /// All agents.
    pub fn agents(&self) -> usize {
        self.agents_by_status.values().sum()
    }

    /// Agents in one status.
    pub fn agents_in(&self, status: Status) -> usize {
        self.agents_by_status.get(&status).copied().unwrap_or_default()
    }
}

/// Copies the key only when it is new.
fn count(counts: &mut BTreeMap<String, usize>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}
