//! Where every agent sits, which rows its capabilities have, and the index of both. Pure.

use std::ops::Range;
use std::sync::Arc;

use mesh_api::agent::Registration;
use mesh_api::health::Status;

use tokio::time::Instant;

use super::event::View;
use super::index::Index;
use super::listed::Listed;
use super::numbering::Numbering;
use super::order::Order;
use super::record::Record;
use crate::health::Vantage;

/// In place of the time of a look that is not planned.
const NEVER: u64 = u64::MAX;

/// All agents, by seat.
#[derive(Debug)]
pub struct Seats {
    order: Order,
    seated: Vec<Option<Seated>>,
    free: Vec<u32>,
    numbering: Numbering,
    index: Index,
    /// By seat: when to look at the agent's health next, in microseconds after `origin`. Side by side, so that a sweep
    /// of a million agents that are well touches 8 MB and no record.
    looks: Vec<u64>,
    /// How many are silent.
    silent: usize,
    origin: Instant,
}

/// An agent at its seat.
#[derive(Debug, Clone)]
pub struct Seated {
    /// What is known about it.
    pub record: Arc<Record>,
    /// Its status, as it is listed and answered.
    pub status: Status,
    /// The statuses under which it was listed since watchers were told of it.
    listed: Listed,
    /// Whether it is silent for longer than its timeout threshold.
    is_silent: bool,
    rows: Range<u32>,
}

impl Seats {
    /// No agents; looks are planned from `origin` on.
    pub fn new(origin: Instant) -> Self {
        Self {
            order: Order::default(),
            seated: Vec::new(),
            free: Vec::new(),
            numbering: Numbering::default(),
            index: Index::default(),
            looks: Vec::new(),
            silent: 0,
            origin,
        }
    }

    /// The posting lists.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The order of ids.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// How many agents there are.
    pub fn count(&self) -> usize {
        self.order.count()
    }

    /// How many agents have neither expired nor gone offline.
    pub fn living(&self) -> usize {
        let gone = self.index.agents.whole.in_status(&[Status::Expired, Status::Offline]);
        self.count() - gone.map(|set| set.len() as usize).sum::<usize>()
    }

    /// The seat of `id`.
    pub fn find(&self, id: &str) -> Option<u32> {
        self.order.seat(id)
    }

    /// Who sits at `seat`.
    pub fn at(&self, seat: u32) -> Option<&Seated> {
        self.seated.get(seat as usize)?.as_ref()
    }

    /// The agent `id`.
    pub fn get(&self, id: &str) -> Option<&Seated> {
        self.at(self.find(id)?)
    }

    /// The seat to which a row belongs.
    pub fn of_row(&self, row: u32) -> u32 {
        self.numbering.seat(row)
    }

    /// The rows of the agent at `seat`.
    pub fn rows(&self, seat: u32) -> Option<Range<u32>> {
        self.at(seat).map(|seated| seated.rows.clone())
    }

    /// Seats an agent, or replaces it at its seat; `outline` is that of its document, `known` that of the agent that it
    /// replaces.
    pub fn put(
        &mut self,
        record: Arc<Record>,
        outline: &Registration,
        known: Option<&Registration>,
        status: Status,
    ) {
        let seat = match self.find(record.id()).zip(known) {
            Some((seat, known)) => {
                self.vacate(seat, known);
                seat
            }
            None => self.take_seat(&record),
        };
        let rows = self.numbering.take(outline.capabilities.len() as u32, seat);
        self.index.add(seat, rows.clone(), outline, status);
        let (listed, is_silent) = (Listed::only(status), false);
        self.seated[seat as usize] = Some(Seated { record, status, listed, is_silent, rows });
        // Whoever is new is looked at by the next sweep.
        self.looks[seat as usize] = 0;
    }

    /// Takes an agent out, whose outline is `outline`.
    pub fn remove(&mut self, id: &str, outline: &Registration) -> Option<Seated> {
        let seat = self.order.remove(id)?;
        self.free.push(seat);
        self.looks[seat as usize] = NEVER;
        self.vacate(seat, outline)
    }

    /// Lists the agent at `seat` under another status. Returns whether watchers are to be told and have not been asked
    /// to wait for it yet.
    pub fn set_status(&mut self, seat: u32, status: Status) -> bool {
        let Some(Some(seated)) = self.seated.get_mut(seat as usize) else { return false };
        self.index.set_status(seat, seated.rows.clone(), Some(seated.status), Some(status));
        seated.status = status;
        seated.listed.add(status)
    }

    /// Notes whether the agent at `seat` is silent.
    pub fn set_silent(&mut self, seat: u32, is_silent: bool) {
        if let Some(Some(seated)) = self.seated.get_mut(seat as usize) {
            self.silent = self.silent + usize::from(is_silent) - usize::from(seated.is_silent);
            seated.is_silent = is_silent;
        }
    }

    /// How many agents are silent.
    pub fn silent(&self) -> usize {
        self.silent
    }

    /// The agent `id` as it was listed since watchers were told of it and as it is, if there are news; they are told
    /// then.
    pub fn announce(&mut self, id: &str) -> Option<(View, View)> {
        let seated = self.seated.get_mut(self.order.seat(id)? as usize)?.as_mut()?;
        let before = seated.listed.has_news().then(|| seated.view())?;
        seated.listed = Listed::only(seated.status);
        Some((before, seated.view()))
    }

    /// Everybody on these seats whose health is to be looked at by `now`.
    pub fn due(&self, seats: Range<usize>, now: Instant) -> impl Iterator<Item = &Seated> {
        let (seats, now) = (seats.start..seats.end.min(self.looks.len()), self.micros(now));
        let looks = self.looks.get(seats.clone()).unwrap_or_default().iter().zip(seats);
        looks.filter(move |(look, _)| **look <= now).filter_map(|(_, seat)| self.at(seat as u32))
    }

    /// Everybody on these seats.
    pub fn on(&self, seats: Range<usize>) -> impl Iterator<Item = &Seated> {
        self.seated.iter().take(seats.end).skip(seats.start).flatten()
    }

    /// How many seats there are, taken and free.
    pub fn room(&self) -> usize {
        self.looks.len()
    }

    /// Plans the next look at the health of the agent at `seat`.
    pub fn look_at(&mut self, seat: u32, at: Instant) {
        let at = self.micros(at);
        if let Some(look) = self.looks.get_mut(seat as usize) {
            *look = at;
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_micros()).unwrap_or(NEVER)
    }

    fn take_seat(&mut self, record: &Record) -> u32 {
        let seat = self.free.pop().unwrap_or(self.seated.len() as u32);
        if seat as usize == self.seated.len() {
            self.seated.push(None);
            self.looks.push(0);
        }
        self.order.insert(Arc::clone(&record.stored.id), seat);
        seat
    }

    fn vacate(&mut self, seat: u32, outline: &Registration) -> Option<Seated> {
        self.set_silent(seat, false);
        let seated = self.seated[seat as usize].take()?;
        self.index.remove(seat, seated.rows.clone(), outline, seated.status);
        self.numbering.give_back(seated.rows.clone());
        Some(seated)
    }
}

// === impl Seated ===

impl Seated {
    /// What a watcher can see of it, or has seen since it was told.
    pub fn view(&self) -> View {
        View::new(Arc::clone(&self.record), self.listed)
    }

    /// Whether it is not listed as it should be, after it was heard.
    pub fn has_news(&self, from: Vantage) -> bool {
        self.record.derived_status(from) != self.status || self.is_silent
    }

    /// Whether it is silent for longer than its timeout threshold, as of the last look.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }
}
