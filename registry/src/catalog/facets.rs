//! Facets: what an agent or one of its capabilities can be asked for exactly, each as a small number. Pure.
//!
//! Whoever demands a facet is shown only agents that have it, so nothing but a change of such an agent changes the answer.

use mesh_api::agent::Registration;
use mesh_api::capability::{Capability, CapabilityFilter};
use mesh_api::selector::{Requirement, Selector};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many numbers there are. Facets may share one: then a change of either counts as one of both.
pub const COUNT: usize = 4_096;

/// Something that can be asked for exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facet(u16);

/// What a text is.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of the fields of registrations and capabilities")]
pub enum Aspect {
    Id,
    Name,
    Namespace,
    AgentType,
    Label,
    Capability,
    Category,
    Tag,
}

impl Facet {
    /// The number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All that an agent has.
    pub fn of_agent(outline: &Registration) -> Box<[Self]> {
        let Registration { id, name, namespace, agent_type, labels, capabilities, .. } = outline;
        let whole = [
            (Aspect::Id, id),
            (Aspect::Name, name),
            (Aspect::Namespace, namespace),
            (Aspect::AgentType, agent_type),
        ];
        let mut facets = whole.map(|(field, text)| Self::new(field, text)).to_vec();
        facets.extend(labels.iter().map(|(label, value)| Self::label(label, value)));
        facets.extend(capabilities.iter().flat_map(Self::of_capability));
        facets.sort_unstable();
        facets.dedup();
        facets.into()
    }

    fn of_capability(capability: &Capability) -> impl Iterator<Item = Self> {
        let category = capability.category.iter().map(|category| Self::new(Aspect::Category, category));
        let tags = capability.tags.iter().map(|tag| Self::new(Aspect::Tag, tag));
        std::iter::once(Self::new(Aspect::Capability, &capability.name)).chain(category).chain(tags)
    }

    /// One that every capability has that `filter` lets through, exactly: the one that fewest have, as a rule.
    pub fn of_filter(filter: &CapabilityFilter) -> Option<Self> {
        Self::demanded(Aspect::Capability, filter.name.as_ref())
            .or_else(|| Self::demanded(Aspect::Tag, filter.tags.first()))
            .or_else(|| Self::demanded(Aspect::Category, filter.category.as_ref()))
    }

    /// One that every agent has that `selector` selects.
    pub fn of_selector(selector: &Selector) -> Option<Self> {
        selector.requirements().iter().find_map(|requirement| match requirement {
            Requirement::In(label, values) if values.len() == 1 => Some(Self::label(label, values.first()?)),
            _ => None,
        })
    }

    /// The one of a text that must be there exactly, if one must.
    pub fn demanded(field: Aspect, text: Option<&String>) -> Option<Self> {
        text.map(|text| Self::new(field, text))
    }

    fn label(label: &str, value: &str) -> Self {
        Self::folded(xxh3_64_with_seed(
            value.as_bytes(),
            xxh3_64_with_seed(label.as_bytes(), Aspect::Label as u64),
        ))
    }

    fn new(field: Aspect, text: &str) -> Self {
        Self::folded(xxh3_64_with_seed(text.as_bytes(), field as u64))
    }

    fn folded(hash: u64) -> Self {
        Self((hash % COUNT as u64) as u16)
    }
}
