//! One watcher: a place in the history and a filter.

use std::sync::Arc;

use mesh_api::agent::Registration;
use mesh_api::health::Status;
use mesh_api::query::{AgentQuery, CapabilityQuery, Paging};

use super::bell::List;
use super::event::{Event, Verb};
use super::history::{Gone, History, Resumed};
use super::hit::Hit;
use super::page::Page;
use super::seats::Seats;
use super::{matcher, query};

/// Who is watched.
#[derive(Debug)]
pub enum Filter {
    /// Agents that satisfy this.
    Agents(Box<AgentQuery>),
    /// Agents with a capability that satisfies this.
    Capabilities(Box<CapabilityQuery>),
}

/// Follows the changes of some agents. Made by [`super::Catalog::watch`].
#[derive(Debug)]
pub struct Watcher {
    history: Arc<History>,
    filter: Filter,
    /// Changes that are told before those from `place` on.
    again: Vec<Arc<Event>>,
    place: u64,
    revision: u64,
    list: List,
}

// === impl Filter ===

impl Filter {
    /// All agents that are watched, as they are.
    pub(super) fn seen(&self, seats: &Seats) -> Vec<Hit> {
        let found = match self {
            Self::Agents(query) => query::agents(seats, query),
            Self::Capabilities(query) => query::providers(seats, query),
        };
        // Only a token can be at fault, and there is none.
        Page::cut(seats, &found, &Paging::default()).map(|page| page.hits).unwrap_or_default()
    }

    /// Whether an agent is watched.
    pub fn sees(&self, agent: &Registration, status: Status) -> bool {
        match self {
            Self::Agents(query) => matcher::agent(query, agent, status).is_some(),
            Self::Capabilities(query) => !matcher::capabilities(query, agent, status).is_empty(),
        }
    }
}

// === impl Watcher ===

impl Watcher {
    /// Follows what `filter` sees from behind revision `from` on, or with all of it to begin with, which is returned.
    /// The lock under which `seats` are seen keeps changes away meanwhile.
    pub(super) fn open(
        history: &Arc<History>,
        filter: Filter,
        from: Option<u64>,
        seats: &Seats,
        revision: u64,
    ) -> Result<(Vec<Hit>, Self), Gone> {
        let (end, list) = (history.end(), history.bell().list());
        let (hits, Resumed { place, again }) = match from {
            Some(from) => (Vec::new(), history.after(from)?),
            None => (filter.seen(seats), Resumed { place: end, again: Vec::new() }),
        };
        let (history, revision) = (Arc::clone(history), from.unwrap_or(revision));
        Ok((hits, Self { history, filter, again, place, revision, list }))
    }

    /// The revision up to which the watcher has been told everything.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Waits for the next changes and returns those that are the watcher's business, ready to be sent.
    ///
    /// # Errors
    /// When the watcher was too slow and has missed some.
    pub async fn next(&mut self) -> Result<Vec<Arc<str>>, Gone> {
        if !self.again.is_empty() {
            let again = std::mem::take(&mut self.again);
            return Ok(self.frames(&again));
        }
        loop {
            // Seen before the look, so that what comes after the look wakes it again.
            let seen = self.history.bell().number();
            let events = self.history.from(self.place)?;
            if events.is_empty() {
                self.history.bell().after(self.list, seen).await;
                continue;
            }
            self.place += events.len() as u64;
            self.revision = events.last().map_or(self.revision, |event| event.revision);
            return Ok(self.frames(&events));
        }
    }

    /// Those that are the watcher's business, as it is sent them.
    fn frames(&self, events: &[Arc<Event>]) -> Vec<Arc<str>> {
        let sees = |agent: &Registration, status: Status| self.filter.sees(agent, status);
        let verbs = events.iter().filter_map(|event| Some((event, event.verb(sees)?)));
        verbs.map(|(event, verb): (_, Verb)| event.frame(verb)).collect()
    }
}
