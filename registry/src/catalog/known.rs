//! Who is known, at which revision, and what watchers have been told of it. Changes only as a whole: the catalog holds
//! its lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mesh_api::agent::Registration;
use mesh_api::health::Status;
use tokio::time::Instant;

use super::arrival::Arrival;
use super::editions::Editions;
use super::event::{Event, View};
use super::history::History;
use super::listed::Listed;
use super::record::Record;
use super::seats::{Seated, Seats};
use crate::health::Vantage;

/// Time until a registry that started empty may believe that it has heard everybody: one default health interval.
pub const WARM_UP: Duration = Duration::from_secs(30);

/// Who is known.
#[derive(Debug)]
pub struct Known {
    /// Everybody.
    pub seats: Seats,
    /// The newest revision that has been applied.
    pub revision: u64,
    /// When every agent there is has had the time to register.
    pub warm_at: Instant,
    /// When what may show in answers last changed.
    pub editions: Editions,
    history: Arc<History>,
    retention: Duration,
    /// Agents whose status watchers have not been told.
    unannounced: VecDeque<Arc<str>>,
}

/// A status that has changed by itself.
#[derive(Debug)]
pub struct Noticed {
    /// Whose.
    pub record: Arc<Record>,
    /// What it was.
    pub before: Status,
    /// What it is.
    pub now: Status,
}

impl Known {
    /// Nobody; changes are told to `history`.
    pub fn nobody(history: Arc<History>, retention: Duration, now: Instant) -> Self {
        Self {
            seats: Seats::new(now),
            revision: 0,
            warm_at: now + WARM_UP,
            editions: Editions::default(),
            history,
            retention,
            unannounced: VecDeque::new(),
        }
    }

    /// Everybody is replaced, as of `revision`. A store that had agents knows everybody there is.
    pub fn replace(&mut self, seats: Seats, revision: u64, now: Instant) {
        if seats.count() > 0 {
            self.warm_at = now;
        }
        self.seats = seats;
        self.editions.advance_all();
        self.revision = revision;
        self.unannounced.clear();
        self.history.restart(revision);
    }

    /// An agent has registered, or changed its registration.
    pub fn put(&mut self, arrival: Arrival, now: Instant) {
        let Arrival { record, outline, known, status } = arrival;
        self.revision = record.stored.revision;
        let replaced = self.seats.get(record.id());
        let had = replaced.map(|seated| Arc::clone(&seated.record));
        self.editions.advance(record.facets.iter().chain(had.iter().flat_map(|record| &record.facets)));
        let before = replaced.map(Seated::view);
        let after = View::new(Arc::clone(&record), Listed::only(status));
        self.seats.put(record, &outline, known.as_ref(), status);
        self.history.push(vec![Event::new(self.revision, now, before, Some(after))]);
    }

    /// An agent is gone, whose outline was `outline`.
    pub fn remove(&mut self, id: &str, outline: Option<&Registration>, revision: u64, now: Instant) {
        self.revision = revision;
        if let Some(seated) = outline.and_then(|outline| self.seats.remove(id, outline)) {
            self.editions.advance(&seated.record.facets);
            self.history.push(vec![Event::new(revision, now, Some(seated.view()), None)]);
        }
    }

    /// Looks at an agent, lists it under the status that follows from what is heard, and plans the next look. Returns
    /// what has changed.
    pub fn notice(&mut self, id: &Arc<str>, from: Vantage) -> Option<Noticed> {
        let seat = self.seats.find(id)?;
        let Seated { record, status: before, .. } = self.seats.at(seat)?.clone();
        let (now, signs) = (record.derived_status(from), record.vitals.signs());
        self.seats.set_silent(seat, !now.is_gone() && signs.are_late(&record.thresholds, from.now));
        let next = match now {
            // What comes next is their removal.
            Status::Expired | Status::Offline => signs.expires_at(&record.thresholds) + self.retention,
            _ => signs.next_change(&record.thresholds, from.now),
        };
        self.seats.look_at(seat, next);
        if now == before {
            return None;
        }
        self.editions.advance(&record.facets);
        if self.seats.set_status(seat, now) {
            self.unannounced.push_back(Arc::clone(id));
        }
        Some(Noticed { record, before, now })
    }

    /// How many agents have a status that watchers have not been told.
    pub fn unannounced(&self) -> usize {
        self.unannounced.len()
    }

    /// Tells watchers of `most` changes of status, each with a revision of its own up to `revision`. Returns whether
    /// that revision is reached.
    pub fn announce(&mut self, revision: u64, most: usize, now: Instant) -> bool {
        let mut events = Vec::new();
        while self.revision < revision && events.len() < most {
            let Some(id) = self.unannounced.pop_front() else { break };
            // What has happened to it since was an event of its own, which told of its status as well.
            let Some((before, after)) = self.seats.announce(&id) else { continue };
            self.revision += 1;
            events.push(Event::new(self.revision, now, Some(before), Some(after)).noticed());
        }
        let is_done = events.len() < most;
        if is_done {
            self.revision = revision;
        }
        self.history.push(events);
        is_done
    }
}
