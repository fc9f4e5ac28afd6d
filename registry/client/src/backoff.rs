//! Pauses between attempts that grow, with jitter so that a fleet does not come back all at once.

use std::time::Duration;

use rand::RngExt as _;

/// Exponential pauses with full jitter in the upper half: `[d/2, d)`, `d` doubling from `first` to `longest`.
///
/// Half the pause is fixed so that a registry that is down is not asked in a tight loop by an unlucky draw.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause.
    pub fn pause(&mut self, rng: &mut impl rand::Rng) -> Duration {
        let whole = self.next.min(self.longest);
        self.next = whole * 2;
        whole.mul_f64(rng.random_range(0.5..1.0))
    }

    /// Starts again with the first pause.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_again() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(7);
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause(&mut rng)).collect();
        assert!(pauses[0] >= Duration::from_millis(250) && pauses[0] < Duration::from_millis(500));
        assert!(pauses[9] >= Duration::from_secs(15) && pauses[9] < Duration::from_secs(30));
        backoff.reset();
        assert!(backoff.pause(&mut rng) < Duration::from_millis(500));
    }
}
