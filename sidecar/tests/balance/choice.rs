//! The policies that are compared: ours, and those of others as references.
//!
//! All of them take the better of two at random, through the sidecar's own `balancer::pick`; they differ in what they
//! call better.

use std::time::Duration;

use tokio::time::Instant;

use crate::endpoint::Endpoint;

/// What the better endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Choice {
    /// The first drawn.
    Random,
    /// The one with fewer calls in flight.
    LeastRequest,
    /// The one with the lower `PeakEwma`, times the calls in flight there and this one.
    PeakEwma,
    /// The one with the lower score of `load::Load`.
    Adaptive,
}

/// How a sidecar is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setup {
    /// It chooses, and that is all. Its calls are not safe to repeat, so that there are no trials and no retries.
    Alone(Choice),
    /// As it is: with a breaker for each endpoint, the prober, and calls that are safe to repeat.
    Whole,
}

// === impl Choice ===

impl Choice {
    /// The number to compare: lower is better.
    pub(crate) fn score(self, endpoint: &Endpoint, median: Duration, now: Instant) -> f64 {
        match self {
            Self::Random => 0.0,
            Self::LeastRequest => endpoint.in_flight as f64,
            Self::PeakEwma => endpoint.peak.seconds(now) * (endpoint.in_flight as f64 + 1.0),
            Self::Adaptive => endpoint.load.score(endpoint.in_flight, 1.0, median, now),
        }
    }
}

// === impl Setup ===

impl Setup {
    /// The balancers of others.
    pub(crate) const OTHERS: [Self; 3] =
        [Self::Alone(Choice::Random), Self::Alone(Choice::LeastRequest), Self::Alone(Choice::PeakEwma)];
    /// Our balancer.
    pub(crate) const ADAPTIVE: Self = Self::Alone(Choice::Adaptive);

    /// How it chooses.
    pub(crate) const fn choice(self) -> Choice {
        match self {
            Self::Alone(choice) => choice,
            Self::Whole => Choice::Adaptive,
        }
    }

    /// Whether failures open breakers, and calls are tried again.
    pub(crate) const fn is_whole(self) -> bool {
        matches!(self, Self::Whole)
    }

    /// Its name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alone(Choice::Random) => "random",
            Self::Alone(Choice::LeastRequest) => "least_request",
            Self::Alone(Choice::PeakEwma) => "peak_ewma",
            Self::Alone(Choice::Adaptive) => "adaptive",
            Self::Whole => "breaker and retry too",
        }
    }
}
