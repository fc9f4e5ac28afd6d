//! The cases: which service, who calls it, and what one of its agents suffers.
//!
//! Services, fleets and faults are those of the simulation from which the balancer's formula was chosen, so that the
//! figures of the real machines can be held against it.

use std::time::Duration;

/// Agents of a service before anything happens. The last one is the one with the fault, unless another joins with it.
pub(crate) const AGENTS: usize = 5;

/// What happens to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    /// Nothing.
    NoFault,
    /// One of five takes ten times as long, for good.
    Slow,
    /// One of five answers 503 within a millisecond, for good.
    Failing,
    /// One of five takes calls and never answers, for good.
    Silent,
    /// A sixth joins and takes five times as long for its first 20 s.
    ColdJoiner,
    /// Calls of seconds, nothing happens.
    Long,
    /// Calls of seconds, one of five takes five times as long, for good.
    LongSlow,
    /// Calls of seconds, one of five answers 503 within a millisecond, for good.
    LongFailing,
    /// As [`Self::Slow`], but for 20 s only.
    SlowForAWhile,
    /// As [`Self::Failing`], but for 20 s only.
    FailingForAWhile,
}

/// How many callers the same traffic comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fleet {
    /// A few busy ones: each sees for itself how the agents fare.
    Busy,
    /// Many quiet ones: each sees hardly anything.
    Quiet,
}

/// What the agents of a service are like, and how it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// Median of the time that a call takes a worker.
    pub(crate) median: Duration,
    /// Standard deviation of the logarithm of that time.
    pub(crate) sigma: f64,
    /// Calls that an agent works on at once; the others wait in line.
    pub(crate) workers: usize,
    /// Calls per second of all callers together.
    pub(crate) rate: f64,
    /// Callers: few, many.
    callers: (usize, usize),
    /// Time before the fault, in which callers get to know the agents.
    pub(crate) warm_up: Duration,
    /// Time from the beginning of the fault in which calls are made and counted.
    pub(crate) span: Duration,
}

/// What the last agent suffers from the end of the warm-up on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// What it does.
    pub(crate) kind: Kind,
    /// For how long.
    pub(crate) lasts: Duration,
    /// Whether it is not there before.
    pub(crate) joins: bool,
}

/// What an agent with a fault does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// It takes so many times as long.
    Slow(f64),
    /// It answers 503, within [`FAILS_WITHIN`].
    Failing,
    /// It takes calls and never answers.
    Silent,
}

/// How quickly a failing agent fails.
pub(crate) const FAILS_WITHIN: Duration = Duration::from_millis(1);

/// How long an agent is unwell that gets well again.
const A_WHILE: Duration = Duration::from_secs(20);

/// 200 calls a second that take 57 % of the workers.
const FAST: Service = Service {
    median: Duration::from_millis(50),
    sigma: 0.5,
    workers: 4,
    rate: 200.0,
    callers: (10, 200),
    warm_up: Duration::from_secs(10),
    span: Duration::from_secs(60),
};

/// Tool calls as language models make them: seconds, with a long tail, 62 % of the workers.
const LONG: Service = Service {
    median: Duration::from_secs(2),
    sigma: 1.0,
    workers: 16,
    rate: 15.0,
    callers: (5, 100),
    warm_up: Duration::from_secs(40),
    span: Duration::from_secs(300),
};

// === impl Case ===

impl Case {
    /// Those in which an agent is in trouble until the end, and the two in which none is.
    pub(crate) const LASTING: [Self; 8] = [
        Self::NoFault,
        Self::Slow,
        Self::Failing,
        Self::Silent,
        Self::ColdJoiner,
        Self::Long,
        Self::LongSlow,
        Self::LongFailing,
    ];
    /// Those in which it gets well again.
    pub(crate) const PASSING: [Self; 2] = [Self::SlowForAWhile, Self::FailingForAWhile];

    /// Its name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoFault => "no fault",
            Self::Slow => "one slow 10x",
            Self::Failing => "one fails fast",
            Self::Silent => "one falls silent",
            Self::ColdJoiner => "cold joiner",
            Self::Long => "long calls, no fault",
            Self::LongSlow => "long calls, one slow 5x",
            Self::LongFailing => "long calls, one fails fast",
            Self::SlowForAWhile => "slow 10x for 20 s",
            Self::FailingForAWhile => "fails fast for 20 s",
        }
    }

    /// The service that is called.
    pub(crate) const fn service(self) -> Service {
        match self {
            Self::Long | Self::LongSlow | Self::LongFailing => LONG,
            Self::NoFault => Service { span: Duration::from_secs(40), ..FAST },
            // Each of the many meets the slow one once: 200 calls, which must be less than one in a hundred.
            Self::Slow => Service { span: Duration::from_secs(120), ..FAST },
            // The memory of an average of seconds is gone after six times its decay.
            Self::SlowForAWhile | Self::FailingForAWhile => {
                Service { span: Duration::from_secs(220), ..FAST }
            }
            Self::Failing | Self::Silent | Self::ColdJoiner => FAST,
        }
    }

    /// What the last agent suffers.
    pub(crate) const fn fault(self) -> Option<Fault> {
        let (kind, lasts, joins) = match self {
            Self::NoFault | Self::Long => return None,
            Self::Slow => (Kind::Slow(10.0), Duration::MAX, false),
            Self::LongSlow => (Kind::Slow(5.0), Duration::MAX, false),
            Self::Failing | Self::LongFailing => (Kind::Failing, Duration::MAX, false),
            Self::Silent => (Kind::Silent, Duration::MAX, false),
            Self::ColdJoiner => (Kind::Slow(5.0), A_WHILE, true),
            Self::SlowForAWhile => (Kind::Slow(10.0), A_WHILE, false),
            Self::FailingForAWhile => (Kind::Failing, A_WHILE, false),
        };
        Some(Fault { kind, lasts, joins })
    }

    /// How long callers wait.
    pub(crate) const fn patience(self) -> Duration {
        match self {
            // The default of `call_timeout`.
            Self::Silent => Duration::from_secs(60),
            // For ever: the figures are about how long calls take.
            _ => Duration::from_secs(86_400),
        }
    }

    /// Agents at the end.
    pub(crate) fn agents(self) -> usize {
        AGENTS + usize::from(self.fault().is_some_and(|fault| fault.joins))
    }
}

// === impl Fleet ===

impl Fleet {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Busy, Self::Quiet];

    /// How many call `service`.
    pub(crate) const fn callers(self, service: &Service) -> usize {
        match self {
            Self::Busy => service.callers.0,
            Self::Quiet => service.callers.1,
        }
    }
}
