//! Hedging: a second attempt beside a first one that takes long, for calls that are safe to repeat.
//!
//! The delay is the 95th percentile of what calls of this capability took lately, so that one call in twenty is slow
//! enough for it; and what hedges may cost is bounded by a budget of their own, so that a capability that becomes slow as
//! a whole is not asked twice as much. Source: Dean and Barroso, "The Tail at Scale" (2013).

use std::time::Duration;

/// Share of the calls that may have a second attempt.
const PER_CALL: f64 = 0.05;
/// Second attempts that can be saved up.
const CAP: f64 = 10.0;
/// Shortest delay that is derived from measurements: below it a second attempt costs more than it saves.
const SHORTEST: Duration = Duration::from_millis(50);
/// Latencies that are remembered.
const SAMPLES: usize = 128;
/// Latencies without which there is no percentile to speak of.
const MIN_SAMPLES: usize = 20;
/// The percentile: one sample in this many is above it.
const ONE_IN: usize = 20;

/// When a call gets its second attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// After what 95 % of the calls took.
    Measured,
    /// After this time.
    After(Duration),
}

/// What is remembered of the calls of one capability.
#[derive(Debug, Default)]
pub struct Hedging {
    latencies: Vec<Duration>,
    next: usize,
    tokens: f64,
}

// === impl Hedging ===

impl Hedging {
    /// Notes that a call begins.
    pub fn deposit(&mut self) {
        self.tokens = (self.tokens + PER_CALL).min(CAP);
    }

    /// Notes what a call took.
    pub fn observe(&mut self, latency: Duration) {
        if self.latencies.len() < SAMPLES {
            self.latencies.push(latency);
        } else {
            self.latencies[self.next] = latency;
            self.next = (self.next + 1) % SAMPLES;
        }
    }

    /// How long the first attempt is waited for; `None` when too little was measured.
    pub fn delay(&self, hedge: Hedge) -> Option<Duration> {
        match hedge {
            Hedge::After(delay) => Some(delay),
            Hedge::Measured if self.latencies.len() < MIN_SAMPLES => None,
            Hedge::Measured => {
                let mut sorted = self.latencies.clone();
                let at = sorted.len() - 1 - sorted.len() / ONE_IN;
                let (_, percentile, _) = sorted.select_nth_unstable(at);
                Some((*percentile).max(SHORTEST))
            }
        }
    }

    /// Pays for a second attempt, if that can be afforded.
    pub fn withdraw(&mut self) -> bool {
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_delay_is_what_nineteen_of_twenty_calls_took() {
        let mut hedging = Hedging::default();
        (1..=19).for_each(|_| hedging.observe(Duration::from_millis(80)));
        assert_eq!(hedging.delay(Hedge::Measured), None);
        assert_eq!(hedging.delay(Hedge::After(SHORTEST)), Some(SHORTEST));
        (1..=81).for_each(|i| hedging.observe(Duration::from_millis(80 + i)));
        assert_eq!(hedging.delay(Hedge::Measured), Some(Duration::from_millis(80 + 76)));
        (0..SAMPLES).for_each(|_| hedging.observe(Duration::from_millis(1)));
        assert_eq!(hedging.delay(Hedge::Measured), Some(SHORTEST));
    }

    proptest! {
        #[test]
        fn second_attempts_are_never_more_than_a_twentieth(wanted in prop::collection::vec(any::<bool>(), 0..2_000)) {
            let mut hedging = Hedging::default();
            let mut granted = 0;
            for (calls, wants) in wanted.into_iter().enumerate() {
                hedging.deposit();
                granted += usize::from(wants && hedging.withdraw());
                prop_assert!(granted as f64 <= PER_CALL * (calls + 1) as f64 + 1e-6);
            }
        }
    }
}
