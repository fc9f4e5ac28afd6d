//! The index answers what asking every registration would: random fleets that change, random queries, every page.

#![cfg(test)]

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::agent::Registration;
use mesh_api::capability::{CapabilityFilter, Stability};
use mesh_api::health::Status;
use mesh_api::heartbeat::Heartbeat;
use mesh_api::query::{AgentQuery, CapabilityQuery, Paging};
use mesh_registry::catalog::fuzzy::Score;
use mesh_registry::catalog::keeping::Keeping;
use mesh_registry::catalog::listing::Listing;
use mesh_registry::catalog::{Catalog, matcher};
use mesh_registry::health::AgentTypes;
use mesh_registry::moment::Moment;
use mesh_registry::store::change::{Changed, Event, Snapshot, Stored};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use tokio::time::Instant;

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

/// Something that happens to the fleet.
#[derive(Debug, Clone)]
enum Step {
    Put(Box<Registration>),
    Remove(&'static str),
    Beat(&'static str, &'static str),
    Relist,
}

/// The catalog, and beside it what it should know.
struct Fleet {
    catalog: Catalog,
    agents: BTreeMap<String, Arc<Stored>>,
    revision: u64,
    now: Instant,
}

impl Fleet {
    fn after(steps: Vec<Step>) -> Self {
        let (now, keeping) = (Instant::now(), Keeping { answers: 9, changes: 9, retention: Duration::ZERO });
        let catalog = Catalog::new(AgentTypes::default(), keeping, now);
        let mut fleet = Self { catalog, agents: BTreeMap::new(), revision: 0, now };
        steps.into_iter().for_each(|step| fleet.step(step));
        fleet
    }

    fn step(&mut self, step: Step) {
        self.revision += 1;
        let event = match step {
            Step::Put(registration) => {
                let stored = self.stored(&registration);
                self.agents.insert(registration.id, Arc::clone(&stored));
                Event::Changed(Changed::Put(stored))
            }
            Step::Remove(id) => {
                self.agents.remove(id);
                Event::Changed(Changed::Removed { id: id.into(), revision: self.revision })
            }
            Step::Beat(id, status) => {
                let heartbeat = Heartbeat::from_value(&json!({"agent_id": id, "status": status})).unwrap();
                assert_eq!(
                    self.catalog.beat(heartbeat, Moment::now()).unwrap().is_some(),
                    self.agents.contains_key(id)
                );
                Event::Changed(Changed::Noticed { revision: self.revision })
            }
            Step::Relist => {
                let agents = self.agents.values().cloned().collect();
                Event::Snapshot(Snapshot { revision: self.revision, agents, beats: BTreeMap::new() })
            }
        };
        self.catalog.apply(vec![event], self.now).unwrap();
    }

    fn stored(&self, registration: &Registration) -> Arc<Stored> {
        Arc::new(Stored {
            id: registration.id.as_str().into(),
            document: serde_json::to_string(registration).unwrap().into(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            owner: None,
            incarnation: 1,
            revision: self.revision,
        })
    }

    fn registrations(&self) -> impl Iterator<Item = (Registration, Status)> {
        self.agents
            .iter()
            .map(|(id, stored)| (stored.registration().unwrap(), self.catalog.get(id).unwrap().status))
    }

    /// Ids and scores of agents, by asking every registration.
    fn agents(&self, query: &AgentQuery) -> Vec<Row> {
        let found = self.registrations().filter_map(|(agent, status)| {
            let score = matcher::agent(query, &agent, status)?;
            Some((score.parts(), agent.id, String::new(), "0.0.0".parse().unwrap()))
        });
        rows(found, query.fuzzy_match)
    }

    fn capabilities(&self, query: &CapabilityQuery) -> Vec<Row> {
        let found = self.registrations().flat_map(|(agent, status)| {
            let found = matcher::capabilities(query, &agent, status);
            let row = |(place, score): (usize, Score)| {
                let capability = &agent.capabilities[place];
                (score.parts(), agent.id.clone(), capability.name.clone(), capability.version.clone())
            };
            found.into_iter().map(row).collect::<Vec<_>>()
        });
        rows(found, query.fuzzy_match)
    }
}

/// What a row of an answer is known by: agent, capability, version, score.
type Row = (String, String, String, Option<f64>);

/// Sorts as answers are sorted: best score first, then by id, name and version.
fn rows(found: impl Iterator<Item = (u16, String, String, semver::Version)>, is_fuzzy: bool) -> Vec<Row> {
    let mut found = found.collect::<Vec<_>>();
    found.sort_by_key(|(score, id, name, version)| {
        (Reverse(is_fuzzy.then_some(*score)), id.clone(), name.clone(), version.clone())
    });
    let score = |parts: u16| is_fuzzy.then(|| f64::from(parts) / 10_000.0);
    let row = |(parts, id, name, version): (u16, String, String, semver::Version)| {
        let version = if name.is_empty() { String::new() } else { version.to_string() };
        (id, name, version, score(parts))
    };
    found.into_iter().map(row).collect()
}

/// Every page of an answer, joined.
fn pages(limit: Option<usize>, mut ask: impl FnMut(Paging) -> Listing) -> (Vec<Row>, Vec<u64>) {
    let (mut rows, mut totals, mut continue_token) = (Vec::new(), Vec::new(), None);
    loop {
        let listing = ask(Paging { limit, continue_token });
        let page: Value = serde_json::from_slice(&listing.bytes(Timestamp::UNIX_EPOCH)).unwrap();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        match (page["agents"].as_array(), page["capabilities"].as_array()) {
            (Some(agents), _) => {
                rows.extend(
                    agents
                        .iter()
                        .map(|row| (text(row, "id"), String::new(), String::new(), row["score"].as_f64())),
                );
            }
            (_, Some(capabilities)) => rows.extend(capabilities.iter().map(|row| {
                (text(row, "agent_id"), text(row, "name"), text(row, "version"), row["score"].as_f64())
            })),
            _ => panic!("{page}"),
        }
        totals.push(page["total"].as_u64().unwrap());
        continue_token = page["continue"].as_str().map(str::to_owned);
        if continue_token.is_none() {
            return (rows, totals);
        }
    }
}

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

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => registration().prop_map(|registration| Step::Put(Box::new(registration))),
        2 => select(&IDS).prop_map(Step::Remove),
        4 => (select(&IDS), select(vec!["healthy", "degraded", "draining", "offline"])).prop_map(|(id, status)| Step::Beat(id, status)),
        1 => Just(Step::Relist),
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

fn agent_query() -> impl Strategy<Value = AgentQuery> {
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

fn capability_query() -> impl Strategy<Value = CapabilityQuery> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_index_finds_the_agents_that_asking_everyone_finds(
        steps in steps(), queries in prop::collection::vec(agent_query(), 8), limit in of(1usize..4)
    ) {
        let fleet = Fleet::after(steps);
        for query in queries {
            let expected = fleet.agents(&query);
            let ask = |paging| {
                let query = AgentQuery { paging, ..query.clone() };
                fleet.catalog.agents(&query, &query.to_string(), fleet.now).unwrap()
            };
            let (found, totals) = pages(limit, ask);
            prop_assert!(totals.iter().all(|total| *total == expected.len() as u64), "{totals:?} of {expected:?}");
            prop_assert_eq!(found, expected, "{}", query);
        }
    }

    #[test]
    fn the_index_finds_the_capabilities_that_asking_everyone_finds(
        steps in steps(), queries in prop::collection::vec(capability_query(), 8), limit in of(1usize..4)
    ) {
        let fleet = Fleet::after(steps);
        for query in queries {
            let expected = fleet.capabilities(&query);
            let ask = |paging| {
                let query = CapabilityQuery { paging, ..query.clone() };
                fleet.catalog.capabilities(&query, &query.to_string(), fleet.now).unwrap()
            };
            let (found, totals) = pages(limit, ask);
            prop_assert!(totals.iter().all(|total| *total == expected.len() as u64), "{totals:?} of {expected:?}");
            prop_assert_eq!(found, expected, "{}", query);
        }
    }

    #[test]
    fn counts_are_what_counting_everyone_yields(steps in steps()) {
        let fleet = Fleet::after(steps);
        let census = fleet.catalog.census();
        let everyone = fleet.registrations().collect::<Vec<_>>();
        let capabilities = everyone.iter().flat_map(|(agent, _)| &agent.capabilities).collect::<Vec<_>>();
        prop_assert_eq!((census.agents(), census.capabilities), (everyone.len(), capabilities.len()));
        for status in Status::ALL {
            prop_assert_eq!(census.agents_in(status), everyone.iter().filter(|(_, one)| *one == status).count());
        }
        let names = capabilities.iter().map(|one| &one.name).collect::<std::collections::BTreeSet<_>>();
        prop_assert_eq!(census.capability_names, names.len());
        prop_assert_eq!(census.capabilities_by_category.values().sum::<usize>(), capabilities.len());
        prop_assert_eq!(census.agents_by_namespace.values().sum::<usize>(), everyone.len());
    }
}
