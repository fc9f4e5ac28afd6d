//! How busy and how reliable one endpoint is for one capability, as a number to compare: lower is better.
//!
//! `max(ewma, age of the oldest call in flight) × (in flight + 1) × (1 + 100 f) ÷ weight`. The moving average of the
//! latency rises at once with a slow answer and falls slowly; without samples it drifts toward the pool's median, so
//! that an endpoint that was slow once is tried again. The age of the oldest call counts because an endpoint that
//! hangs yields no samples at all. A failure sets `f` to 1 and each success halves it; failures do not feed the
//! average, or an endpoint that fails fast would look like the best one.
//!
//! An endpoint with such a score is hardly ever picked, so it would hardly ever show that it has recovered: after one
//! failure among idle equals it took minutes. Therefore it is tried: a while after its last failure, calls that are
//! safe to repeat go to it one at a time, for as long as they succeed and until the failure is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Latency that is assumed where nothing was measured yet.
pub const PRIOR: Duration = Duration::from_millis(50);
/// Time in which an old average loses 63 % of its distance to the pool's median.
const LATENCY_DECAY: Duration = Duration::from_secs(30);
/// Time in which the memory of a failure loses 63 %.
const FAILURE_DECAY: Duration = Duration::from_secs(60);
/// Memory of a failure that no longer matters: seven successes after it, or nearly five minutes.
const FORGOTTEN: f64 = 0.01;
/// First and longest time between a failure and a trial; it doubles with every failure in a row.
const TRIAL_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How much worse an endpoint looks right after a failure.
const FAILURE_PENALTY: f64 = 100.0;

/// Measurements of one endpoint for one capability.
#[derive(Debug, Default)]
pub struct Load {
    latency: Option<Latency>,
    failure: f64,
    failure_at: Option<Instant>,
    failures_in_a_row: u32,
    in_flight: BTreeMap<u64, Instant>,
    next_ticket: u64,
}

/// A call in flight.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

#[derive(Debug, Clone, Copy)]
struct Latency {
    seconds: f64,
    at: Instant,
}

impl Load {
    /// Notes that a call begins.
    pub fn begin(&mut self, now: Instant) -> Ticket {
        self.next_ticket += 1;
        self.in_flight.insert(self.next_ticket, now);
        Ticket(self.next_ticket)
    }

    /// Notes that a call was answered.
    pub fn succeed(&mut self, ticket: Ticket, median: Duration, now: Instant) {
        let Some(began) = self.in_flight.remove(&ticket.0) else { return };
        let sample = now.duration_since(began).as_secs_f64();
        let seconds = match self.latency {
            None => sample,
            Some(last) => {
                let old = self.latency_seconds(median, now);
                let kept = (-now.duration_since(last.at).as_secs_f64() / LATENCY_DECAY.as_secs_f64()).exp();
                if sample > old { sample } else { sample + (old - sample) * kept }
            }
        };
        self.latency = Some(Latency { seconds, at: now });
        (self.failure, self.failure_at) = (self.failure_now(now) / 2.0, Some(now));
        self.failures_in_a_row = 0;
    }

    /// Notes that a call failed.
    pub fn fail(&mut self, ticket: Ticket, now: Instant) {
        self.in_flight.remove(&ticket.0);
        (self.failure, self.failure_at) = (1.0, Some(now));
        self.failures_in_a_row += 1;
    }

    /// Forgets failures, because they were found to be over.
    pub fn forgive(&mut self) {
        (self.failure, self.failures_in_a_row) = (0.0, 0);
    }

    /// Whether a call that is safe to repeat should go there to see whether it has recovered.
    pub fn trial_is_due(&self, now: Instant) -> bool {
        if self.failure_now(now) == 0.0 || !self.in_flight.is_empty() {
            return false;
        }
        let doublings = self.failures_in_a_row.saturating_sub(1).min(16);
        let pause = TRIAL_PAUSES.0.saturating_mul(1 << doublings).min(TRIAL_PAUSES.1);
        self.failures_in_a_row == 0 || self.failure_at.is_none_or(|at| now.duration_since(at) >= pause)
    }

    /// Notes that a call ended without showing anything.
    pub fn abandon(&mut self, ticket: Ticket) {
        self.in_flight.remove(&ticket.0);
    }

    /// The number to compare. `in_flight` counts the calls of all capabilities at the endpoint.
    pub fn score(&self, in_flight: usize, weight: f64, median: Duration, now: Instant) -> f64 {
        let oldest =
            self.in_flight.values().next().map_or(0.0, |began| now.duration_since(*began).as_secs_f64());
        let latency = self.latency_seconds(median, now).max(oldest);
        let failure = 1.0 + FAILURE_PENALTY * self.failure_now(now);
        latency * (in_flight as f64 + 1.0) * failure / weight
    }

    /// The moving average of the latency, or `median` where nothing was measured.
    pub fn latency(&self, median: Duration, now: Instant) -> Duration {
        Duration::from_secs_f64(self.latency_seconds(median, now))
    }

    /// Whether anything was measured.
    pub fn is_measured(&self) -> bool {
        self.latency.is_some()
    }

    /// The memory of failures, 0 to 1. What is forgotten counts no more: with a hundredth of it left a score would still be
    /// twice as high as that of others, at which time nobody tries the endpoint any longer.
    pub fn failure_now(&self, now: Instant) -> f64 {
        if self.failure == 0.0 {
            return 0.0;
        }
        let age = self.failure_at.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        let left = self.failure * (-age / FAILURE_DECAY.as_secs_f64()).exp();
        if left < FORGOTTEN { 0.0 } else { left }
    }

    fn latency_seconds(&self, median: Duration, now: Instant) -> f64 {
        let median = median.as_secs_f64();
        let Some(last) = self.latency else { return median };
        let kept = (-now.duration_since(last.at).as_secs_f64() / LATENCY_DECAY.as_secs_f64()).exp();
        median + (last.seconds - median) * kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn measured(latencies: &[u32]) -> (Load, Instant) {
        let (mut load, mut now) = (Load::default(), Instant::now());
        for &ms in latencies {
            let ticket = load.begin(now);
            now += MS * ms;
            load.succeed(ticket, PRIOR, now);
        }
        (load, now)
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
        let (load, now) = measured(&[10, 10, 500]);
        assert_eq!(load.latency(PRIOR, now), MS * 500);
        let later = load.latency(MS * 10, now + Duration::from_secs(30));
        assert!(later > MS * 180 && later < MS * 200, "{later:?}");
        assert!(load.latency(MS * 10, now + Duration::from_secs(300)) < MS * 11);
    }

    #[test]
    fn an_endpoint_that_hangs_gets_worse_while_it_hangs() {
        let (mut load, now) = measured(&[10]);
        load.begin(now);
        let hanging = load.score(1, 1.0, PRIOR, now + Duration::from_secs(10));
        assert!(hanging > 100.0 * load.score(1, 1.0, PRIOR, now));
    }

    #[test]
    fn failing_fast_does_not_look_like_being_fast() {
        let (mut load, now) = measured(&[10]);
        let before = load.score(0, 1.0, PRIOR, now);
        let ticket = load.begin(now);
        load.fail(ticket, now + MS);
        let after = load.score(0, 1.0, PRIOR, now + MS);
        assert!(after > before * 90.0, "{after} {before}");
        let ticket = load.begin(now + MS);
        load.succeed(ticket, PRIOR, now + MS * 11);
        assert!(load.score(0, 1.0, PRIOR, now + MS * 11) < after * 0.6);
    }

    #[test]
    fn a_failed_endpoint_is_tried_after_a_pause_and_for_as_long_as_it_succeeds() {
        let (mut load, mut now) = measured(&[10]);
        assert!(!load.trial_is_due(now));
        for pause in [1, 2, 4] {
            let ticket = load.begin(now);
            load.fail(ticket, now);
            assert!(!load.trial_is_due(now + Duration::from_millis(pause * 1_000 - 1)));
            now += Duration::from_secs(pause);
            assert!(load.trial_is_due(now));
        }
        let mut trials = 0;
        while load.trial_is_due(now) {
            let ticket = load.begin(now);
            assert!(!load.trial_is_due(now), "one at a time");
            load.succeed(ticket, PRIOR, now);
            trials += 1;
        }
        assert_eq!(trials, 7);
    }

    #[test]
    fn weight_and_calls_in_flight_shift_the_load() {
        let (load, now) = measured(&[10]);
        let plain = load.score(0, 1.0, PRIOR, now);
        assert!((load.score(1, 1.0, PRIOR, now) - 2.0 * plain).abs() < 1e-9);
        assert!((load.score(0, 2.0, PRIOR, now) - plain / 2.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn every_score_is_a_number_and_no_call_is_left_over(steps in prop::collection::vec((0u8..4, 0u32..5000), 0..100)) {
            let (mut load, mut now) = (Load::default(), Instant::now());
            for (end, ms) in steps {
                let ticket = load.begin(now);
                now += MS * ms;
                match end {
                    0 => load.fail(ticket, now),
                    1 => load.abandon(ticket),
                    _ => load.succeed(ticket, PRIOR, now),
                }
                let score = load.score(0, 1.0, PRIOR, now);
                prop_assert!(score.is_finite() && score >= 0.0);
                prop_assert!(load.in_flight.is_empty() && load.failure_now(now) <= 1.0);
            }
        }
    }
}
