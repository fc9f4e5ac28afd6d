//! Which agents and capabilities a query finds. Pure.
//!
//! The catalog calls the two functions with all of its records; whatever finds the same hits faster belongs here.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_api::agent::Registration;
use mesh_api::capability::{Capability, Stability};
use mesh_api::health::Status;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use mesh_api::selector::Selector;

use super::hit::Hit;
use super::record::Record;
use super::wanted::{WantedAgent, WantedCapability};
use crate::health::Vantage;

/// The agents that satisfy `query`, in no particular order.
pub fn agents(records: &BTreeMap<String, Arc<Record>>, query: &AgentQuery, from: Vantage) -> Vec<Hit> {
    let wanted = WantedAgent::new(query);
    let find = |record: &Arc<Record>| {
        let agent = record.registration();
        let status = record.status(from);
        let fits = is_in(status, &query.status)
            && is(&query.namespace, &agent.namespace)
            && is(&query.agent_type, &agent.agent_type)
            && selects(query.label_selector.as_ref(), agent);
        let score = if fits { wanted.score(agent)? } else { return None };
        let score = query.fuzzy_match.then_some(score);
        Some(Hit { record: Arc::clone(record), status, capability: None, score })
    };
    candidates(records, query.id.as_deref()).filter_map(find).collect()
}

/// The capabilities that satisfy `query`, in no particular order.
pub fn capabilities(
    records: &BTreeMap<String, Arc<Record>>,
    query: &CapabilityQuery,
    from: Vantage,
) -> Vec<Hit> {
    let wanted = WantedCapability::new(&query.capability, query.fuzzy_match);
    let text = query.description_contains.as_ref().map(|text| text.to_lowercase());
    let wants_deprecated =
        query.include_deprecated || query.capability.stability == Some(Stability::Deprecated);
    let score = |capability: &Capability| {
        let fits = (wants_deprecated || capability.stability != Stability::Deprecated)
            && text.as_ref().is_none_or(|text| describes(capability, text));
        if fits { wanted.score(capability) } else { None }
    };
    let mut hits = Vec::new();
    for record in candidates(records, query.agent_id.as_deref()) {
        let agent = record.registration();
        let status = record.status(from);
        let fits = is_in(status, &query.agent_status)
            && is(&query.agent_namespace, &agent.namespace)
            && selects(query.label_selector.as_ref(), agent);
        if fits {
            let scored = agent.capabilities.iter().enumerate().filter_map(|(i, one)| Some((i, score(one)?)));
            hits.extend(scored.map(|(i, score)| Hit {
                record: Arc::clone(record),
                status,
                capability: Some(i),
                score: query.fuzzy_match.then_some(score),
            }));
        }
    }
    hits
}

/// All records, or the one that has the id asked for.
fn candidates<'r>(
    records: &'r BTreeMap<String, Arc<Record>>,
    id: Option<&str>,
) -> impl Iterator<Item = &'r Arc<Record>> {
    let one = id.map(|id| records.get(id));
    let all = one.is_none().then(|| records.values());
    one.flatten().into_iter().chain(all.into_iter().flatten())
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
