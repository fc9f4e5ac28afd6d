//! The posting lists: for everything that can be asked for, who has it. Pure.
//!
//! Two kinds of numbers. Agents have seats; capabilities have rows, those of one agent side by side. What belongs to
//! an agent as a whole (namespace, type, labels, status) is listed by seat for the one route and by row for the other,
//! so that a query never has to go from one kind to the other for it.

use std::collections::HashMap;
use std::ops::Range;

use mesh_api::agent::Registration;
use mesh_api::capability::{Capability, Stability};
use mesh_api::health::Status;
use roaring::RoaringBitmap;

use super::posting::Posting;
use super::record;
use super::terms::Terms;
use super::versions::Versions;

/// Everything that can be asked for.
#[derive(Debug, Default)]
pub struct Index {
    /// Lists of seats.
    pub agents: AgentLists,
    /// Lists of rows.
    pub rows: RowLists,
}

/// Who of the agents has what.
#[derive(Debug, Default)]
pub struct AgentLists {
    /// What agents have as a whole.
    pub whole: Whole,
    /// By name.
    pub names: Terms,
}

/// Which of the capabilities has what.
#[derive(Debug, Default)]
pub struct RowLists {
    /// What their agents have as a whole.
    pub whole: Whole,
    /// By name.
    pub names: Terms,
    /// By category.
    pub categories: Terms,
    /// By tag.
    pub tags: Terms,
    /// By description.
    pub descriptions: Terms,
    /// By stability.
    pub stabilities: HashMap<Stability, RoaringBitmap>,
    /// The version of each.
    pub versions: Versions,
}

/// What belongs to an agent as a whole.
#[derive(Debug, Default)]
pub struct Whole {
    /// Everybody.
    pub all: RoaringBitmap,
    /// By namespace.
    pub namespaces: Keyed,
    /// By type.
    pub types: Keyed,
    /// By label.
    pub labels: HashMap<String, Label>,
    /// By status.
    pub statuses: HashMap<Status, RoaringBitmap>,
}

/// Who has a label.
#[derive(Debug, Default)]
pub struct Label {
    /// With any value.
    pub all: RoaringBitmap,
    /// By value.
    pub values: Keyed,
}

/// Posting lists by an exact text.
pub type Keyed = HashMap<String, Posting>;

impl Index {
    /// Lists an agent that sits at `seat` and has the rows `rows`.
    pub fn add(&mut self, seat: u32, rows: Range<u32>, outline: &Registration, status: Status) {
        self.agents.whole.add(seat..seat + 1, outline);
        self.agents.names.add(&outline.name, seat);
        self.rows.whole.add(rows.clone(), outline);
        for (row, capability) in rows.clone().zip(capabilities(outline)) {
            self.rows.add(row, capability);
        }
        self.set_status(seat, rows, None, Some(status));
    }

    /// Takes an agent out that was added with the same words.
    pub fn remove(&mut self, seat: u32, rows: Range<u32>, outline: &Registration, status: Status) {
        self.agents.whole.remove(seat..seat + 1, outline);
        self.agents.names.remove(&outline.name, seat);
        self.rows.whole.remove(rows.clone(), outline);
        for (row, capability) in rows.clone().zip(capabilities(outline)) {
            self.rows.remove(row, capability);
        }
        self.set_status(seat, rows, Some(status), None);
    }

    /// The status of an agent has changed.
    pub fn set_status(&mut self, seat: u32, rows: Range<u32>, from: Option<Status>, to: Option<Status>) {
        for (whole, members) in [(&mut self.agents.whole, seat..seat + 1), (&mut self.rows.whole, rows)] {
            if let Some(from) = from {
                whole.statuses.entry(from).or_default().remove_range(members.clone());
            }
            if let Some(to) = to {
                whole.statuses.entry(to).or_default().insert_range(members);
            }
        }
    }
}

/// The capabilities of an agent in the order of its rows.
fn capabilities(outline: &Registration) -> impl Iterator<Item = &Capability> {
    record::order(outline).into_iter().filter_map(|i| outline.capabilities.get(i))
}

// === impl Whole ===

impl Whole {
    fn add(&mut self, members: Range<u32>, outline: &Registration) {
        // Lists of nobody are not kept.
        if members.is_empty() {
            return;
        }
        self.all.insert_range(members.clone());
        enlist(&mut self.namespaces, &outline.namespace, members.clone());
        enlist(&mut self.types, &outline.agent_type, members.clone());
        for (label, value) in &outline.labels {
            if !self.labels.contains_key(label) {
                self.labels.insert(label.clone(), Label::default());
            }
            if let Some(label) = self.labels.get_mut(label) {
                label.all.insert_range(members.clone());
                enlist(&mut label.values, value, members.clone());
            }
        }
    }

    fn remove(&mut self, members: Range<u32>, outline: &Registration) {
        self.all.remove_range(members.clone());
        strike(&mut self.namespaces, &outline.namespace, members.clone());
        strike(&mut self.types, &outline.agent_type, members.clone());
        for (label, value) in &outline.labels {
            if let Some(known) = self.labels.get_mut(label) {
                known.all.remove_range(members.clone());
                strike(&mut known.values, value, members.clone());
                if known.all.is_empty() {
                    self.labels.remove(label);
                }
            }
        }
    }

    /// Who is in one of `statuses`.
    pub fn in_status<'w>(&'w self, statuses: &'w [Status]) -> impl Iterator<Item = &'w RoaringBitmap> {
        statuses.iter().filter_map(|status| self.statuses.get(status))
    }
}

/// Copies the key only when it is new.
fn enlist(lists: &mut Keyed, key: &str, members: Range<u32>) {
    match lists.get_mut(key) {
        Some(list) => list.insert_range(members),
        None => drop(lists.insert(key.to_owned(), Posting::from(members))),
    }
}

fn strike(lists: &mut Keyed, key: &str, members: Range<u32>) {
    if let Some(list) = lists.get_mut(key) {
        list.remove_range(members);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

// === impl RowLists ===

impl RowLists {
    fn add(&mut self, row: u32, capability: &Capability) {
        self.names.add(&capability.name, row);
        capability.category.iter().for_each(|category| self.categories.add(category, row));
        capability.tags.iter().for_each(|tag| self.tags.add(tag, row));
        capability.description.iter().for_each(|description| self.descriptions.add(description, row));
        self.stabilities.entry(capability.stability).or_default().insert(row);
        self.versions.set(row, &capability.version);
    }

    fn remove(&mut self, row: u32, capability: &Capability) {
        self.names.remove(&capability.name, row);
        capability.category.iter().for_each(|category| self.categories.remove(category, row));
        capability.tags.iter().for_each(|tag| self.tags.remove(tag, row));
        capability.description.iter().for_each(|description| self.descriptions.remove(description, row));
        self.stabilities.entry(capability.stability).or_default().remove(row);
        self.versions.unset(row);
    }
}
