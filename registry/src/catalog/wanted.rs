//! The filters that a fuzzy query turns into likeness: names, categories and tags. Pure.
//!
//! A filter is prepared once for a query and then asked for every record. Everything fits a plain query equally well.

use mesh_api::agent::Registration;
use mesh_api::capability::{Capability, CapabilityFilter};
use mesh_api::query::AgentQuery;

use super::fuzzy::{Field, Needle, Score};

/// What an agent must be called and be able to do.
pub struct WantedAgent<'q> {
    name: Option<Name<'q>>,
    capability: Option<WantedCapability<'q>>,
}

/// What one capability must be like: all of it, not one the name and another the version.
pub enum WantedCapability<'q> {
    /// In every detail.
    Exactly(&'q CapabilityFilter),
    /// Roughly.
    Roughly {
        /// What stays exact: stability and version.
        exact: CapabilityFilter,
        /// Like any of its fields.
        name: Option<Needle>,
        /// Like its category.
        category: Option<Needle>,
        /// One of them like one of its tags.
        tags: Vec<Needle>,
    },
}

enum Name<'q> {
    Exactly(&'q str),
    Roughly(Needle),
}

// === impl WantedAgent ===

impl<'q> WantedAgent<'q> {
    /// Prepares the filters of `query`.
    pub fn new(query: &'q AgentQuery) -> Self {
        let name = query.name.as_deref();
        let name =
            name.map(
                |name| if query.fuzzy_match { Name::Roughly(Needle::new(name)) } else { Name::Exactly(name) },
            );
        let is_any = query.capability.is_empty();
        let capability = (!is_any).then(|| WantedCapability::new(&query.capability, query.fuzzy_match));
        Self { name, capability }
    }

    /// How well an agent fits, by its name and its best capability; `None` when it does not.
    pub fn score(&self, agent: &Registration) -> Option<Score> {
        let mut scores = Vec::new();
        if let Some(name) = &self.name {
            scores.push(name.score(&agent.name)?);
        }
        if let Some(wanted) = &self.capability {
            scores.push(agent.capabilities.iter().filter_map(|one| wanted.score(one)).max()?);
        }
        Some(Score::mean(&scores))
    }
}

// === impl Name ===

impl Name<'_> {
    fn score(&self, name: &str) -> Option<Score> {
        match self {
            Self::Exactly(wanted) => (*wanted == name).then_some(Score::BEST),
            Self::Roughly(needle) => needle.likeness(Field::Name, name),
        }
    }
}

// === impl WantedCapability ===

impl<'q> WantedCapability<'q> {
    /// Prepares `filter`.
    pub fn new(filter: &'q CapabilityFilter, is_fuzzy: bool) -> Self {
        if !is_fuzzy {
            return Self::Exactly(filter);
        }
        let (stability, version) = (filter.stability, filter.version.clone());
        Self::Roughly {
            exact: CapabilityFilter { stability, version, ..CapabilityFilter::default() },
            name: filter.name.as_deref().map(Needle::new),
            category: filter.category.as_deref().map(Needle::new),
            tags: filter.tags.iter().map(|tag| Needle::new(tag)).collect(),
        }
    }

    /// How well a capability fits; `None` when it does not.
    pub fn score(&self, capability: &Capability) -> Option<Score> {
        let (exact, name, category, tags) = match self {
            Self::Exactly(filter) => return filter.matches(capability).then_some(Score::BEST),
            Self::Roughly { exact, name, category, tags } => (exact, name, category, tags),
        };
        if !exact.matches(capability) {
            return None;
        }
        let mut scores = Vec::new();
        if let Some(name) = name {
            scores.push(name.likeness_of(capability)?);
        }
        if let Some(category) = category {
            scores.push(category.likeness(Field::Name, capability.category.as_ref()?)?);
        }
        if !tags.is_empty() {
            scores.push(best_tag(tags, capability)?);
        }
        Some(Score::mean(&scores))
    }
}

/// How well the best pair of a wanted tag and a tag of the capability fits.
fn best_tag(wanted: &[Needle], capability: &Capability) -> Option<Score> {
    let tags = capability.tags.iter();
    tags.flat_map(|tag| wanted.iter().filter_map(move |needle| needle.likeness(Field::Name, tag))).max()
}

#[cfg(test)]
mod tests {
    use mesh_api::document::Findings;
    use serde_json::json;

    use super::*;

    fn score(filter: &CapabilityFilter, is_fuzzy: bool) -> Option<Score> {
        let value =
            json!({"name": "process_data", "version": "1.2.0", "category": "etl", "tags": ["data", "async"]});
        let capability = Capability::read(&value, "", &mut Findings::default()).unwrap();
        WantedCapability::new(filter, is_fuzzy).score(&capability)
    }

    #[test]
    fn tags_are_all_of_them_and_any_of_them_when_fuzzy() {
        let filter =
            CapabilityFilter { tags: vec!["async".into(), "other".into()], ..CapabilityFilter::default() };
        assert_eq!((score(&filter, false), score(&filter, true)), (None, Some(Score::BEST)));
    }

    #[test]
    fn version_stays_exact_when_the_name_is_fuzzy() {
        let mut filter = CapabilityFilter { name: Some("proces".into()), ..CapabilityFilter::default() };
        assert!(score(&filter, true).is_some());
        filter.version = Some("^2".parse().unwrap());
        assert_eq!(score(&filter, true), None);
    }

    #[test]
    fn every_fuzzy_condition_must_be_met_and_counts() {
        let mut filter = CapabilityFilter { name: Some("process".into()), ..CapabilityFilter::default() };
        let by_name = score(&filter, true);
        filter.category = Some("etl".into());
        assert!(score(&filter, true) > by_name);
        filter.category = Some("weather".into());
        assert_eq!(score(&filter, true), None);
    }
}
