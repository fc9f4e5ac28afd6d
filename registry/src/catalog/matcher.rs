//! Whether one registration fits a query, read off its fields: the meaning of every filter in one place. Pure.
//!
//! Watches ask it of every agent that changes. Queries of the whole catalog are answered by the index instead, which a
//! property test holds to what this room says.

use mesh_api::agent::Registration;
use mesh_api::capability::{Capability, CapabilityFilter, Stability};
use mesh_api::health::Status;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use mesh_api::selector::Selector;

use super::fuzzy::{Field, Needle, Score};

/// How well an agent of this status fits `query`; `None` when it does not.
pub fn agent(query: &AgentQuery, agent: &Registration, status: Status) -> Option<Score> {
    let fits = is_in(status, &query.status)
        && is(&query.id, &agent.id)
        && is(&query.namespace, &agent.namespace)
        && is(&query.agent_type, &agent.agent_type)
        && selects(query.label_selector.as_ref(), agent);
    if fits { WantedAgent::new(query).score(agent) } else { None }
}

/// The places of the capabilities that fit `query` in the document of an agent of this status, and how well they fit.
pub fn capabilities(query: &CapabilityQuery, agent: &Registration, status: Status) -> Vec<(usize, Score)> {
    let fits = is_in(status, &query.agent_status)
        && is(&query.agent_id, &agent.id)
        && is(&query.agent_namespace, &agent.namespace)
        && selects(query.label_selector.as_ref(), agent);
    if !fits {
        return Vec::new();
    }
    let wanted = WantedCapability::new(&query.capability, query.fuzzy_match);
    let text = query.description_contains.as_ref().map(|text| text.to_lowercase());
    let wants_deprecated =
        query.include_deprecated || query.capability.stability == Some(Stability::Deprecated);
    let score = |capability: &Capability| {
        let fits = (wants_deprecated || capability.stability != Stability::Deprecated)
            && text.as_ref().is_none_or(|text| describes(capability, text));
        if fits { wanted.score(capability) } else { None }
    };
    agent.capabilities.iter().enumerate().filter_map(|(i, one)| Some((i, score(one)?))).collect()
}

fn is_in(status: Status, wanted: &[Status]) -> bool {
    wanted.is_empty() || wanted.contains(&status)
}

fn is(wanted: &Option<String>, value: &str) -> bool {
    wanted.as_deref().is_none_or(|wanted| wanted == value)
}

fn selects(selector: Option<&Selector>, agent: &Registration) -> bool {
    selector.is_none_or(|selector| selector.matches(&agent.labels))
}

fn describes(capability: &Capability, folded: &str) -> bool {
    capability.description.as_ref().is_some_and(|description| description.to_lowercase().contains(folded))
}

/// What an agent must be called and be able to do.
struct WantedAgent<'q> {
    name: Option<Name<'q>>,
    capability: Option<WantedCapability<'q>>,
}

/// What one capability must be like: all of it, not one the name and another the version.
enum WantedCapability<'q> {
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
    fn new(query: &'q AgentQuery) -> Self {
        let name = query.name.as_deref();
        let name =
            name.map(
                |name| if query.fuzzy_match { Name::Roughly(Needle::new(name)) } else { Name::Exactly(name) },
            );
        let is_any = query.capability.is_empty();
        let capability = (!is_any).then(|| WantedCapability::new(&query.capability, query.fuzzy_match));
        Self { name, capability }
    }

    /// By its name and its best capability.
    fn score(&self, agent: &Registration) -> Option<Score> {
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
    fn new(filter: &'q CapabilityFilter, is_fuzzy: bool) -> Self {
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

    fn score(&self, capability: &Capability) -> Option<Score> {
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
