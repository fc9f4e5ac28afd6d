//! What lies between two hosts: how long a piece takes, and what does not get through.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::SmallRng;

/// Pieces of a connection take so much longer for each of these, begun ones included. Coarse, so that a counter with one
/// more digit changes no time.
const BLOCK: usize = 1_024;

/// Whether anything gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Passage {
    /// Everything does.
    #[default]
    Open,
    /// Nothing does, and nobody is told: what was sent arrives when it is open again.
    Hangs,
    /// Nothing does, and everybody is told at once.
    Refuses,
}

/// What lies between two hosts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Time for a piece, one way.
    pub(crate) latency: Duration,
    /// Most of what comes on top at random.
    pub(crate) jitter: Duration,
    /// Time for each block of a piece.
    pub(crate) per_block: Duration,
    /// Whether anything gets through.
    pub(crate) passage: Passage,
    /// How many of the next answers break the connection instead of arriving whole.
    pub(crate) breaks: u32,
    /// The part of the answers that does so as well.
    pub(crate) fragility: f64,
}

impl Link {
    /// Time for a piece of this size.
    pub(crate) fn time(&self, size: usize, rng: &mut SmallRng) -> Duration {
        let jitter = self.jitter.mul_f64(rng.random_range(0.0..1.0));
        self.latency + jitter + self.per_block * size.div_ceil(BLOCK) as u32
    }

    /// Whether this answer breaks the connection.
    pub(crate) fn breaks_now(&mut self, rng: &mut SmallRng) -> bool {
        if self.breaks > 0 {
            self.breaks -= 1;
            return true;
        }
        self.fragility > 0.0 && rng.random_bool(self.fragility)
    }
}

impl Default for Link {
    /// Between two hosts of one data centre.
    fn default() -> Self {
        let micros = Duration::from_micros;
        Self {
            latency: micros(500),
            jitter: micros(1_500),
            per_block: micros(20),
            passage: Passage::Open,
            breaks: 0,
            fragility: 0.0,
        }
    }
}
