//! Counts of everything in the catalog, for metrics: the lengths of posting lists. Pure.

use std::collections::BTreeMap;

use mesh_api::health::Status;

use super::index::Index;

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
    /// Counts what `index` lists.
    pub(super) fn of(index: &Index) -> Self {
        let (agents, rows) = (&index.agents.whole, &index.rows);
        let in_status = |status: Status| agents.statuses.get(&status).map_or(0, |set| set.len() as usize);
        let categories =
            rows.categories.iter().map(|(category, rows)| (category.to_owned(), rows.len() as usize));
        let mut capabilities_by_category = categories.collect::<BTreeMap<_, _>>();
        let capabilities = rows.whole.all.len() as usize;
        let uncategorized = capabilities - capabilities_by_category.values().sum::<usize>();
        if uncategorized > 0 {
            *capabilities_by_category.entry(UNCATEGORIZED.to_owned()).or_default() += uncategorized;
        }
        let namespaces = agents.namespaces.iter();
        Self {
            agents_by_status: Status::ALL.map(|status| (status, in_status(status))).into(),
            agents_by_namespace: namespaces
                .map(|(name, agents)| (name.clone(), agents.len() as usize))
                .collect(),
            capabilities_by_category,
            capabilities,
            capability_names: rows.names.count(),
        }
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
