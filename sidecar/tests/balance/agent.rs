//! One simulated agent: so many workers, a line of calls that wait for one, and perhaps a fault.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cases::{FAILS_WITHIN, Fault, Kind};

/// An agent.
pub(crate) struct Agent {
    idle: usize,
    line: VecDeque<usize>,
    fault: Option<Fault>,
}

/// How an agent serves a call that it begins to work on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving {
    /// How long it works on it.
    pub(crate) takes: Duration,
    /// Whether it answers, or refuses with 503.
    pub(crate) is_good: bool,
}

impl Agent {
    /// An agent with so many workers.
    pub(crate) fn new(workers: usize, fault: Option<Fault>) -> Self {
        Self { idle: workers, line: VecDeque::new(), fault }
    }

    /// A call comes in. Whether a worker takes it at once.
    pub(crate) fn take(&mut self, call: usize) -> bool {
        let is_taken = self.idle > 0;
        if is_taken {
            self.idle -= 1;
        } else {
            self.line.push_back(call);
        }
        is_taken
    }

    /// A worker is done. The call that it takes next.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let next = self.line.pop_front();
        if next.is_none() {
            self.idle += 1;
        }
        next
    }

    /// Whether a call that comes in `ill_for` after the fault began is never answered.
    pub(crate) fn is_silent(&self, ill_for: Option<Duration>) -> bool {
        matches!(self.kind(ill_for), Some(Kind::Silent))
    }

    /// How a call is served that is so much `work` when a worker takes it `ill_for` after the fault began.
    pub(crate) fn serve(&self, work: Duration, ill_for: Option<Duration>) -> Serving {
        match self.kind(ill_for) {
            // What it had taken before it fell silent is answered.
            None | Some(Kind::Silent) => Serving { takes: work, is_good: true },
            Some(Kind::Slow(factor)) => Serving { takes: work.mul_f64(factor), is_good: true },
            Some(Kind::Failing) => Serving { takes: FAILS_WITHIN, is_good: false },
        }
    }

    fn kind(&self, ill_for: Option<Duration>) -> Option<Kind> {
        let fault = self.fault.filter(|fault| ill_for.is_some_and(|ill_for| ill_for < fault.lasts));
        fault.map(|fault| fault.kind)
    }
}
