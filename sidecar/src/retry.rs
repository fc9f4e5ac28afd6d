//! Whether a failed attempt is followed by another, and what that may cost.
//!
//! Honest first: a call that may have been executed is repeated only if repeating is safe. Then bounded: every repeat
//! that makes work for a peer is paid from a budget that successful traffic fills, so that retries never multiply an
//! overload. An attempt that never reached a peer made no work and costs nothing.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

/// Tokens at the start, so that a quiet sidecar can retry at all.
const START: f64 = 3.0;
/// Tokens kept at most, unless more calls are in flight.
const CAP: f64 = 10.0;
/// Tokens that a call brings: at most one retry for five calls in the long run.
const PER_CALL: f64 = 0.2;
/// Tokens that a second brings.
const PER_SECOND: f64 = 0.1;
/// Longest pause before the first repeat of something that was sent; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// Longest pause before a repeat.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How far a failed attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing was sent: not executed for certain.
    Nobody,
    /// The peer said that it did not take the call: not executed, but it cost the peer something.
    Refusal,
    /// The call was sent and may have been executed.
    Peer,
    /// The peer answered, and would answer likewise another time.
    Answered,
}

/// Whether there is another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes, after this pause.
    Retry(Duration),
    /// No.
    Stop(Denied),
}

/// Why there is no other attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It was answered.
    Answered,
    /// The call may have been executed, and executing it twice is not known to be safe.
    Unsafe,
    /// Its body is too large to be kept, or the caller has read a part of the answer.
    Body,
    /// All attempts are used up.
    Attempts,
    /// The budget is empty.
    Budget,
    /// There is no time left for it.
    Deadline,
}

/// What a call allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Repeats at most.
    pub max_retries: u32,
    /// Whether executing the call twice is as good as once.
    pub safe: bool,
    /// Whether another provider can be given the same: its body is kept, and the caller has read nothing of an answer.
    pub can_repeat: bool,
    /// Whether there is another provider that this call has not tried.
    pub has_alternative: bool,
    /// How long the provider asked to be left alone.
    pub asked_pause: Option<Duration>,
    /// When the call must be over.
    pub deadline: Instant,
}

/// A token bucket that successful traffic fills.
#[derive(Debug)]
pub struct Budget {
    tokens: f64,
    filled_at: Instant,
}

// === impl Decision ===

impl Decision {
    /// The decision for the logs.
    pub const fn as_words(self) -> &'static str {
        match self {
            Self::Retry(_) => "tried again",
            Self::Stop(Denied::Answered) => "given up: this is an answer",
            Self::Stop(Denied::Body) => "given up: it cannot be sent again as it was",
            Self::Stop(Denied::Unsafe) => {
                "given up: it may have been executed, and is not marked as safe to repeat"
            }
            Self::Stop(Denied::Attempts) => "given up: all attempts are used up",
            Self::Stop(Denied::Budget) => "given up: the retry budget is empty",
            Self::Stop(Denied::Deadline) => "given up: no time is left",
        }
    }
}

// === impl Denied ===

impl Denied {
    /// The word for metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Unsafe => "unsafe",
            Self::Body => "body",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
        }
    }
}

// === impl Policy ===

impl Policy {
    /// Decides after attempt number `attempt` (the first is 1) came as far as `reached`.
    pub fn decide(
        &self,
        attempt: u32,
        reached: Reached,
        budget: &mut Budget,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Decision {
        if reached == Reached::Answered {
            return Decision::Stop(Denied::Answered);
        }
        if reached == Reached::Peer && !self.safe {
            return Decision::Stop(Denied::Unsafe);
        }
        if !self.can_repeat {
            return Decision::Stop(Denied::Body);
        }
        if attempt > self.max_retries {
            return Decision::Stop(Denied::Attempts);
        }
        let pause = self.pause(attempt, reached, rng);
        if now + pause >= self.deadline {
            return Decision::Stop(Denied::Deadline);
        }
        if reached != Reached::Nobody && !budget.withdraw(now) {
            return Decision::Stop(Denied::Budget);
        }
        Decision::Retry(pause)
    }

    /// Full jitter, so that a peer is not hit again at once; nothing where another one takes over what never left. The only
    /// provider is left alone for as long as it asks.
    fn pause(&self, attempt: u32, reached: Reached, rng: &mut impl Rng) -> Duration {
        if reached == Reached::Nobody && self.has_alternative {
            return Duration::ZERO;
        }
        let asked = self.asked_pause.filter(|_| !self.has_alternative).unwrap_or_default();
        let longest = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(8)).min(LONGEST_PAUSE);
        asked + longest.mul_f64(rng.random_range(0.0..1.0))
    }
}

// === impl Budget ===

impl Budget {
    /// A budget as a sidecar starts with.
    pub fn new(now: Instant) -> Self {
        Self { tokens: START, filled_at: now }
    }

    /// Notes a call. One peer that dies fails at most the calls in flight, so that many may be repeated.
    pub fn deposit(&mut self, in_flight: usize, now: Instant) {
        self.pass_time(now);
        self.tokens = (self.tokens + PER_CALL).min(CAP.max(in_flight as f64));
    }

    fn withdraw(&mut self, now: Instant) -> bool {
        self.pass_time(now);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    fn pass_time(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        if self.tokens < CAP {
            self.tokens = (self.tokens + PER_SECOND * seconds).min(CAP);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    fn decide(safe: bool, attempt: u32, reached: Reached, budget: &mut Budget) -> Decision {
        let now = Instant::now();
        let policy = Policy {
            max_retries: 2,
            safe,
            can_repeat: true,
            has_alternative: true,
            asked_pause: None,
            deadline: now + Duration::from_secs(1),
        };
        policy.decide(attempt, reached, budget, now, &mut SmallRng::seed_from_u64(1))
    }

    fn full() -> Budget {
        Budget::new(Instant::now())
    }

    #[test]
    fn what_may_have_been_executed_is_repeated_only_if_that_is_safe() {
        assert_eq!(decide(false, 1, Reached::Peer, &mut full()), Decision::Stop(Denied::Unsafe));
        assert!(matches!(decide(true, 1, Reached::Peer, &mut full()), Decision::Retry(_)));
        assert_eq!(decide(false, 1, Reached::Nobody, &mut full()), Decision::Retry(Duration::ZERO));
        assert!(matches!(decide(false, 1, Reached::Refusal, &mut full()), Decision::Retry(_)));
    }

    #[test]
    fn attempts_and_time_are_limited() {
        assert_eq!(decide(true, 3, Reached::Nobody, &mut full()), Decision::Stop(Denied::Attempts));
        let now = Instant::now();
        let late = Policy {
            max_retries: 2,
            safe: true,
            can_repeat: true,
            has_alternative: true,
            asked_pause: None,
            deadline: now,
        };
        let decision = late.decide(1, Reached::Peer, &mut full(), now, &mut SmallRng::seed_from_u64(1));
        assert_eq!(decision, Decision::Stop(Denied::Deadline));
    }

    #[test]
    fn the_only_provider_is_given_a_moment_before_it_is_tried_again() {
        let now = Instant::now();
        let alone = Policy {
            max_retries: 2,
            safe: true,
            can_repeat: true,
            has_alternative: false,
            asked_pause: None,
            deadline: now + Duration::from_secs(1),
        };
        let decision = alone.decide(1, Reached::Nobody, &mut full(), now, &mut SmallRng::seed_from_u64(1));
        assert!(matches!(decision, Decision::Retry(pause) if pause > Duration::ZERO && pause < FIRST_PAUSE));
    }

    #[test]
    fn an_empty_budget_stops_repeats_but_not_those_that_cost_nothing() {
        let mut budget = full();
        for _ in 0..3 {
            assert!(matches!(decide(true, 1, Reached::Peer, &mut budget), Decision::Retry(_)));
        }
        assert_eq!(decide(true, 1, Reached::Peer, &mut budget), Decision::Stop(Denied::Budget));
        assert!(matches!(decide(true, 1, Reached::Nobody, &mut budget), Decision::Retry(_)));
    }

    #[test]
    fn calls_and_time_fill_the_budget_up_to_its_cap() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        (0..1_000).for_each(|_| budget.deposit(0, start));
        assert!((budget.tokens - CAP).abs() < 1e-9);
        (0..1_000).for_each(|_| budget.deposit(64, start));
        assert!((budget.tokens - 64.0).abs() < 1e-9);
        let mut budget = Budget { tokens: 0.0, filled_at: start };
        assert!(
            !budget.withdraw(start + Duration::from_secs(9))
                && budget.withdraw(start + Duration::from_secs(20))
        );
    }

    proptest! {
        #[test]
        fn repeats_never_exceed_the_start_and_a_fifth_of_the_calls(calls in 1usize..2_000) {
            let now = Instant::now();
            let mut budget = Budget::new(now);
            let granted = (0..calls).filter(|_| { budget.deposit(0, now); budget.withdraw(now) }).count();
            prop_assert!(granted as f64 <= START + PER_CALL * calls as f64 + 1.0);
        }
    }
}
