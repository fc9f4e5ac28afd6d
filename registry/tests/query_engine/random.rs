//! Random fleets and random queries, of words that meet often.

use std::collections::BTreeMap;

use mesh_api::agent::Registration;
use mesh_api::capability::{CapabilityFilter, Stability};
use mesh_api::health::Status;
use mesh_api::query::{AgentQuery, CapabilityQuery};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::fleet::Step;

/// Enough of them that some queries find a small part of the fleet, and others a large one.
const IDS: [&str; 30] = [
    "a", "b", "b-1", "b-10", "b-2", "b-3", "b-4", "b-5", "b-6", "b-7", "b-8", "b-9", "b.1", "b.2", "b.3",
    "c", "c:1", "c:2", "c:3", "c:4", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m",
];
const NAMES: [&str; 7] = ["Data Loader", "data_load", "loda-data", "Weather", "wether_7", "x", "DATA"];
const CAPABILITIES: [&str; 6] = ["load_data", "data", "Data-Load", "forecast", "forecsat", "d1"];
const CATEGORIES: [&str; 3] = ["data", "weather", "Data_Base"];
const TAGS: [&str; 4] = ["data", "rain", "async", "big-data"];
const DESCRIPTIONS: [&str; 4] = ["", "Loads data, or dtaa", "Tells the WEATHER", "big-data at rest"];
const VERSIONS: [&str; 5] = ["1.0.0", "1.2.3", "1.10.0", "2.0.0-rc.1", "2.0.0"];
const NEEDLES: [&str; 12] =
    ["data", "Dta", "load", "loda_data", "weather", "weathr", "*", "e", "big", "-", "data-load", "forecast"];
const SELECTORS: [&str; 9] = [
    "env=p",
    "env!=p",
    "env",
    "!env",
    "env in (p,s),zone",
    "zone notin (x)",
    "env=p,zone=y",
    "env in (q)",
    "",
];
const CONSTRAINTS: [&str; 5] = ["^1", "~1.2", "1.0.0", ">=2.0.0-rc.0", ">9"];

// === random fleets ===

fn capability() -> impl Strategy<Value = Value> {
    let stabilities = ["stable", "beta", "deprecated"];
    let parts =
        (select(&CAPABILITIES), select(&VERSIONS), of(select(&CATEGORIES)), subsequence(&TAGS, 0..=3));
    (parts, of(select(&DESCRIPTIONS)), select(stabilities.to_vec())).prop_map(|(parts, description, stability)| {
        let (name, version, category, tags) = parts;
        json!({"name": name, "version": version, "category": category, "tags": tags, "description": description, "stability": stability})
    })
}

fn registration() -> impl Strategy<Value = Registration> {
    let labels = (of(select(vec!["p", "s"])), of(select(vec!["x", "y"])));
    let capabilities = prop::collection::vec(capability(), 0..4);
    (select(&IDS), select(&NAMES), select(vec!["n", "m"]), select(vec!["t", "u"]), labels, capabilities)
        .prop_map(|(id, name, namespace, agent_type, (env, zone), mut capabilities)| {
            capabilities.sort_by_key(|one| (one["name"].to_string(), one["version"].to_string()));
            capabilities.dedup_by_key(|one| (one["name"].to_string(), one["version"].to_string()));
            capabilities.reverse();
            let labels = [("env", env), ("zone", zone)];
            let labels =
                labels.into_iter().filter_map(|(key, value)| Some((key, value?))).collect::<BTreeMap<_, _>>();
            let document = json!({
                "id": id, "name": name, "namespace": namespace, "agent_type": agent_type, "labels": labels,
                "endpoint": "http://h:1/", "capabilities": capabilities
            });
            Registration::from_value(&document).unwrap().0
        })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => registration().prop_map(|registration| Step::Put(Box::new(registration))),
        2 => select(&IDS).prop_map(Step::Remove),
        4 => (select(&IDS), select(vec!["healthy", "degraded", "draining", "offline"])).prop_map(|(id, status)| Step::Beat(id, status)),
        1 => select(&IDS).prop_map(Step::RelistWithout),
    ];
    prop::collection::vec(step, 0..90)
}

// === random queries ===

fn statuses() -> impl Strategy<Value = Vec<Status>> {
    prop_oneof![2 => Just(Vec::new()), 1 => subsequence(&Status::ALL, 1..=3)]
}

fn filter(is_fuzzy: bool) -> impl Strategy<Value = CapabilityFilter> {
    let (names, words) = match is_fuzzy {
        true => (NEEDLES.to_vec(), NEEDLES.to_vec()),
        false => (CAPABILITIES.to_vec(), CATEGORIES.to_vec()),
    };
    let tags = if is_fuzzy { NEEDLES.to_vec() } else { TAGS.to_vec() };
    let stability = of(select(vec![Stability::Stable, Stability::Beta, Stability::Deprecated]));
    let rarely = |strategy| prop_oneof![2 => Just(None), 1 => strategy];
    (
        of(select(names)),
        rarely(of(select(words))),
        stability,
        subsequence(tags, 0..=2),
        of(select(&CONSTRAINTS)),
    )
        .prop_map(|(name, category, stability, tags, version)| CapabilityFilter {
            name: name.map(str::to_owned),
            category: category.map(str::to_owned),
            stability,
            tags: tags.into_iter().map(str::to_owned).collect(),
            version: version.map(|text| text.parse().unwrap()),
        })
}

pub(crate) fn agent_query() -> impl Strategy<Value = AgentQuery> {
    any::<bool>().prop_flat_map(|fuzzy_match| {
        let names = if fuzzy_match { NEEDLES.to_vec() } else { NAMES.to_vec() };
        let simple =
            (of(select(&IDS)), of(select(names)), of(select(vec!["n", "z"])), of(select(vec!["t", "z"])));
        let filter = prop_oneof![1 => Just(CapabilityFilter::default()), 2 => filter(fuzzy_match)];
        (simple, statuses(), filter, of(select(&SELECTORS))).prop_map(
            move |(simple, status, capability, selector)| {
                let (id, name, namespace, agent_type) = simple;
                AgentQuery {
                    // Rarely, because hardly anything else shows behind an id.
                    id: id.filter(|id| *id == "b").map(str::to_owned),
                    name: name.map(str::to_owned),
                    namespace: namespace.map(str::to_owned),
                    agent_type: agent_type.map(str::to_owned),
                    status,
                    capability,
                    label_selector: selector.map(|text| text.parse().unwrap()),
                    fuzzy_match,
                    ..AgentQuery::default()
                }
            },
        )
    })
}

pub(crate) fn capability_query() -> impl Strategy<Value = CapabilityQuery> {
    any::<bool>().prop_flat_map(|fuzzy_match| {
        let simple = (
            of(select(&IDS)),
            of(select(vec!["n", "z"])),
            of(select(vec!["DATA", "th", "data, or", "nothing"])),
        );
        (simple, statuses(), filter(fuzzy_match), of(select(&SELECTORS)), any::<bool>()).prop_map(
            move |(simple, agent_status, capability, selector, include_deprecated)| {
                let (agent_id, namespace, text) = simple;
                CapabilityQuery {
                    capability,
                    description_contains: text.map(str::to_owned),
                    include_deprecated,
                    agent_id: agent_id.filter(|id| *id == "b").map(str::to_owned),
                    agent_namespace: namespace.map(str::to_owned),
                    agent_status,
                    label_selector: selector.map(|text| text.parse().unwrap()),
                    fuzzy_match,
                    ..CapabilityQuery::default()
                }
            },
        )
    })
}
