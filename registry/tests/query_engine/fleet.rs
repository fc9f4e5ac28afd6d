//! A catalog that changes step by step, and beside it what it should know.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mesh_api::agent::Registration;
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
use serde_json::{Value, json};
use tokio::time::Instant;

/// Something that happens to the fleet.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Put(Box<Registration>),
    Remove(&'static str),
    Beat(&'static str, &'static str),
    /// The store lists everything anew, and this agent is gone.
    RelistWithout(&'static str),
}

/// The catalog, and beside it what it should know.
pub(crate) struct Fleet {
    pub(crate) catalog: Catalog,
    agents: BTreeMap<String, Arc<Stored>>,
    revision: u64,
    pub(crate) now: Instant,
}

impl Fleet {
    pub(crate) fn after(steps: Vec<Step>) -> Self {
        let (now, keeping) = (
            Instant::now(),
            Keeping { answers: 9, changes: 9, overlap: Duration::ZERO, retention: Duration::ZERO },
        );
        let catalog = Catalog::new(AgentTypes::default(), keeping, now);
        let mut fleet = Self { catalog, agents: BTreeMap::new(), revision: 0, now };
        steps.into_iter().for_each(|step| fleet.step(step));
        fleet
    }

    pub(crate) fn step(&mut self, step: Step) {
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
                Event::Changed(Changed::SetAside { revision: self.revision })
            }
            Step::RelistWithout(id) => {
                self.agents.remove(id);
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

    pub(crate) fn registrations(&self) -> impl Iterator<Item = (Registration, Status)> {
        self.agents
            .iter()
            .map(|(id, stored)| (stored.registration().unwrap(), self.catalog.get(id).unwrap().status))
    }

    /// Ids and scores of agents, by asking every registration.
    pub(crate) fn agents(&self, query: &AgentQuery) -> Vec<Row> {
        let found = self.registrations().filter_map(|(agent, status)| {
            let score = matcher::agent(query, &agent, status)?;
            Some((score.parts(), agent.id, String::new(), "0.0.0".parse().unwrap()))
        });
        rows(found, query.fuzzy_match)
    }

    pub(crate) fn capabilities(&self, query: &CapabilityQuery) -> Vec<Row> {
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
pub(crate) type Row = (String, String, String, Option<f64>);

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
pub(crate) fn pages(limit: Option<usize>, mut ask: impl FnMut(Paging) -> Listing) -> (Vec<Row>, Vec<u64>) {
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
