//! The simulation: events in the order of their times, nothing else makes time pass.
//!
//! The traffic (who calls when, and how much work a call is) has a random source of its own, so that with the same seed
//! every setup meets the same traffic.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::f64::consts::TAU;
use std::time::Duration;

use mesh_sidecar::breaker::Evidence;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use crate::agent::Agent;
use crate::caller::{Attempt, Call, Caller};
use crate::cases::{AGENTS, Case, Fleet};
use crate::choice::Setup;
use crate::figures::Ended;

/// How often the prober looks at breakers.
const TICK: Duration = Duration::from_millis(100);

/// Callers, agents, and the calls between them.
pub(crate) struct World {
    case: Case,
    start: Instant,
    now: Instant,
    due: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    events: u64,
    traffic: SmallRng,
    agents: Vec<Agent>,
    callers: Vec<Caller>,
    calls: Vec<Running>,
    ended: Vec<Ended>,
}

/// What happens at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A caller makes a call.
    Arrival,
    /// The pause before the next attempt of a call is over.
    Repeat(usize),
    /// A worker is done with a call.
    Done { call: usize, is_good: bool },
    /// The time of a call is over.
    Late(usize),
    /// The probers look at their breakers.
    Tick,
}

/// A call.
struct Running {
    caller: usize,
    began: Instant,
    work: Duration,
    call: Call,
    attempt: Option<Attempt>,
}

impl World {
    /// All calls of `case` that began after the fault did, in the order in which they ended.
    pub(crate) fn run(case: Case, fleet: Fleet, setup: Setup, seed: u64) -> Vec<Ended> {
        let mut world = Self::new(case, fleet, setup, seed);
        world.after(Duration::ZERO, Event::Arrival);
        if setup.is_whole() {
            world.after(TICK, Event::Tick);
        }
        while let Some(Reverse((at, _, event))) = world.due.pop() {
            world.now = at;
            world.happen(event);
        }
        world.ended
    }

    fn new(case: Case, fleet: Fleet, setup: Setup, seed: u64) -> Self {
        let (start, service) = (Instant::now(), case.service());
        let fault = |agent: usize| case.fault().filter(|_| agent + 1 == case.agents());
        let callers = 0..fleet.callers(&service) as u64;
        Self {
            case,
            start,
            now: start,
            due: BinaryHeap::new(),
            events: 0,
            traffic: SmallRng::seed_from_u64(seed),
            agents: (0..case.agents()).map(|i| Agent::new(service.workers, fault(i))).collect(),
            callers: callers
                .map(|i| Caller::new(setup, case.agents(), AGENTS, (seed << 32) + i + 1, start))
                .collect(),
            calls: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn after(&mut self, pause: Duration, event: Event) {
        self.events += 1;
        self.due.push(Reverse((self.now + pause, self.events, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Repeat(call) => self.attempt(call),
            Event::Done { call, is_good } => self.done(call, is_good),
            Event::Late(call) => {
                self.failed(call, Evidence::Hard);
            }
            Event::Tick => self.tick(),
        }
    }

    fn arrive(&mut self) {
        let service = self.case.service();
        let pause = -(1.0 - self.traffic.random::<f64>()).ln() / service.rate;
        if self.now + Duration::from_secs_f64(pause) < self.start + service.warm_up + service.span {
            self.after(Duration::from_secs_f64(pause), Event::Arrival);
        }
        let caller = self.traffic.random_range(0..self.callers.len());
        let work = service.median.mul_f64((service.sigma * self.normal()).exp());
        let present = if self.ill_for().is_some() { self.case.agents() } else { AGENTS };
        let call = self.callers[caller].begin(present, self.now + self.case.patience(), self.now);
        self.calls.push(Running { caller, began: self.now, work, call, attempt: None });
        self.attempt(self.calls.len() - 1);
    }

    fn attempt(&mut self, id: usize) {
        let running = &mut self.calls[id];
        match self.callers[running.caller].attempt(&running.call, self.now) {
            None => self.end(id, None),
            Some(attempt) => {
                let (agent, deadline) = (attempt.agent, attempt.deadline);
                running.attempt = Some(attempt);
                if self.agents[agent].is_silent(self.ill_for()) {
                    self.after(deadline - self.now, Event::Late(id));
                } else if self.agents[agent].take(id) {
                    self.serve(agent, id);
                }
            }
        }
    }

    fn serve(&mut self, agent: usize, call: usize) {
        let service = self.agents[agent].serve(self.calls[call].work, self.ill_for());
        self.after(service.takes, Event::Done { call, is_good: service.is_good });
    }

    fn done(&mut self, id: usize, is_good: bool) {
        let agent = if is_good { self.answered(id) } else { self.failed(id, Evidence::Soft) };
        if let Some(next) = self.agents[agent].next() {
            self.serve(agent, next);
        }
    }

    /// An attempt was answered. By whom.
    fn answered(&mut self, id: usize) -> usize {
        let running = &mut self.calls[id];
        let attempt = running.attempt.take().unwrap();
        self.callers[running.caller].answered(&running.call, &attempt, self.now);
        self.end(id, Some(attempt.agent));
        attempt.agent
    }

    /// An attempt failed. Where.
    fn failed(&mut self, id: usize, evidence: Evidence) -> usize {
        let running = &mut self.calls[id];
        let attempt = running.attempt.take().unwrap();
        match self.callers[running.caller].failed(&mut running.call, &attempt, evidence, self.now) {
            Some(pause) => self.after(pause, Event::Repeat(id)),
            None => self.end(id, None),
        }
        attempt.agent
    }

    fn end(&mut self, id: usize, served_by: Option<usize>) {
        let running = &self.calls[id];
        self.callers[running.caller].end();
        let attempts = running.call.failed_attempts() + usize::from(served_by.is_some());
        let (began, took) =
            (running.began.duration_since(self.start), self.now.duration_since(running.began));
        if let Some(began) = began.checked_sub(self.case.service().warm_up) {
            self.ended.push(Ended { began, took, served_by, attempts });
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        self.callers.iter_mut().for_each(|caller| caller.probe(now));
        if !self.due.is_empty() {
            self.after(TICK, Event::Tick);
        }
    }

    /// Time since the fault began.
    fn ill_for(&self) -> Option<Duration> {
        self.now.duration_since(self.start).checked_sub(self.case.service().warm_up)
    }

    /// Box and Muller's normal deviate.
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.traffic.random::<f64>(), self.traffic.random::<f64>());
        (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
    }
}
