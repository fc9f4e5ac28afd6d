//! The circuit breaker of one endpoint: closed (flowing), open (rejecting), half-open (one call tries).
//!
//! A pure machine: `now` and the random source are arguments, the outcomes of calls come from whoever made them.
//! Three kinds of evidence open it, because each catches what the others miss: hard failures in a row (the process is
//! gone), soft failures in a row (it answers, but only with errors), and a low share of successes (it fails now and
//! then). Before a caller's request is risked, a probe out of band must have reached the endpoint: probing with user
//! calls alone doubled the errors of a quiet fleet in simulation.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

/// Hard failures in a row that open the breaker.
const HARD_RUN: u32 = 3;
/// Soft failures in a row that open the breaker.
const SOFT_RUN: u32 = 5;
/// Fewest calls in the window from which a share of successes is computed.
const MIN_CALLS: u32 = 10;
/// Share of successes below which the breaker opens.
const MIN_SUCCESS: f64 = 0.5;
/// Length of one bucket of the window.
const BUCKET: Duration = Duration::from_secs(3);
/// Buckets of the window; together 30 s. Exact counts, because an average hides a tight burst.
const BUCKETS: usize = 10;
/// First time open.
const FIRST_OPEN: Duration = Duration::from_secs(1);
/// Longest time open, before jitter.
const LONGEST_OPEN: Duration = Duration::from_secs(60);
/// Largest share of the time open that is added at random, so that a fleet does not try again all at once.
const JITTER: f64 = 0.5;
/// Time without an opening after which the next one starts again with the first time open.
const FORGIVEN_AFTER: Duration = Duration::from_secs(300);

/// What a call or a probe showed about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It answered; whether the tool liked the arguments does not matter.
    Success,
    /// It cannot be reached: refused, reset, out of time.
    Hard,
    /// It answered that it cannot serve.
    Soft,
}

/// Whether a call may go to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Admitted,
    /// No; it is open, or the one call that may try is under way.
    Rejected {
        /// Whether soft failures opened it: those never take more than half of a pool.
        soft: bool,
        /// When it may be tried again.
        until: Instant,
    },
}

/// The name of the state, as `/explain` and the metrics show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Flowing.
    Closed,
    /// Rejecting.
    Open,
    /// One call tries.
    HalfOpen,
}

/// The circuit breaker of one endpoint.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    hard_run: u32,
    soft_run: u32,
    window: Window,
    /// Openings since the last forgiveness: the exponent of the time open.
    level: u32,
    last_opened: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant, soft: bool, probing: bool },
    HalfOpen { trying: bool, soft: bool, since: Instant },
}

/// Calls of the last 30 s, in buckets.
#[derive(Debug, Default)]
struct Window {
    buckets: [(u32, u32); BUCKETS],
    /// When the newest bucket began.
    newest: Option<Instant>,
}

// === impl Breaker ===

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            hard_run: 0,
            soft_run: 0,
            window: Window::default(),
            level: 0,
            last_opened: None,
        }
    }
}

impl Breaker {
    /// Whether a call may go to the endpoint now.
    pub fn admission(&self) -> Admission {
        match self.state {
            State::Closed | State::HalfOpen { trying: false, .. } => Admission::Admitted,
            State::Open { until, soft, .. } => Admission::Rejected { soft, until },
            State::HalfOpen { trying: true, soft, since } => Admission::Rejected { soft, until: since },
        }
    }

    /// The state's name.
    pub fn state(&self) -> StateName {
        match self.state {
            State::Closed => StateName::Closed,
            State::Open { .. } => StateName::Open,
            State::HalfOpen { .. } => StateName::HalfOpen,
        }
    }

    /// Notes that a call goes to the endpoint.
    pub fn begin(&mut self) {
        if let State::HalfOpen { trying, .. } = &mut self.state {
            *trying = true;
        }
    }

    /// Notes that a call ended without showing anything about the endpoint: the caller went away.
    pub fn abandon(&mut self) {
        if let State::HalfOpen { trying, .. } = &mut self.state {
            *trying = false;
        }
    }

    /// Notes what a call showed. Returns whether the state changed.
    pub fn record(&mut self, evidence: Evidence, now: Instant, rng: &mut impl Rng) -> bool {
        match self.state {
            // Answers to calls from before it opened are old news.
            State::Open { .. } => false,
            State::HalfOpen { .. } if evidence == Evidence::Success => {
                self.close();
                true
            }
            State::HalfOpen { .. } => {
                self.open(evidence == Evidence::Soft, now, rng);
                true
            }
            State::Closed => self.record_closed(evidence, now, rng),
        }
    }

    /// Whether the time open is over, so that a probe out of band should be sent. Says yes once.
    pub fn probe_is_due(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Open { until, probing, .. } if !*probing && *until <= now => {
                *probing = true;
                true
            }
            _ => false,
        }
    }

    /// Brings the probe forward, because nobody else is left to serve: a second after the last one at the earliest. After a
    /// longer outage the next probe would be up to a minute and a half away, and every call would be refused meanwhile
    /// though the endpoint may be back. Only what could not be reached: soft failures are found out by calls alone.
    pub fn hasten(&mut self) {
        if let (State::Open { until, soft: false, probing: false }, Some(opened)) =
            (&mut self.state, self.last_opened)
        {
            *until = (*until).min(opened + FIRST_OPEN);
        }
    }

    /// Notes the outcome of the probe out of band: half-open after a success, open for longer after a failure.
    /// Returns whether what opened it is over: it could not be reached, and now it can.
    pub fn probed(&mut self, reached: bool, now: Instant, rng: &mut impl Rng) -> bool {
        let State::Open { soft, probing: true, .. } = self.state else { return false };
        if reached {
            self.state = State::HalfOpen { trying: false, soft, since: now };
        } else {
            self.open(soft, now, rng);
        }
        reached && !soft
    }

    fn record_closed(&mut self, evidence: Evidence, now: Instant, rng: &mut impl Rng) -> bool {
        self.window.add(evidence == Evidence::Success, now);
        match evidence {
            Evidence::Success => (self.hard_run, self.soft_run) = (0, 0),
            Evidence::Hard => self.hard_run += 1,
            Evidence::Soft => self.soft_run += 1,
        }
        let is_bad = self.hard_run >= HARD_RUN || self.soft_run >= SOFT_RUN || self.window.is_bad(now);
        let opens = evidence != Evidence::Success && is_bad;
        if opens {
            self.open(self.hard_run < HARD_RUN, now, rng);
        }
        opens
    }

    fn open(&mut self, soft: bool, now: Instant, rng: &mut impl Rng) {
        if self.last_opened.is_some_and(|last| now.duration_since(last) > FORGIVEN_AFTER) {
            self.level = 0;
        }
        let base = FIRST_OPEN.saturating_mul(1 << self.level.min(16)).min(LONGEST_OPEN);
        let until = now + base.mul_f64(1.0 + rng.random_range(0.0..JITTER));
        self.level += 1;
        self.last_opened = Some(now);
        self.state = State::Open { until, soft, probing: false };
    }

    fn close(&mut self) {
        (self.state, self.window) = (State::Closed, Window::default());
        (self.hard_run, self.soft_run) = (0, 0);
    }
}

// === impl Window ===

impl Window {
    fn add(&mut self, success: bool, now: Instant) {
        self.turn_to(now);
        let (good, bad) = &mut self.buckets[0];
        *(if success { good } else { bad }) += 1;
    }

    fn is_bad(&mut self, now: Instant) -> bool {
        self.turn_to(now);
        let (good, bad) =
            self.buckets.iter().fold((0, 0), |(good, bad), bucket| (good + bucket.0, bad + bucket.1));
        good + bad >= MIN_CALLS && f64::from(good) < MIN_SUCCESS * f64::from(good + bad)
    }

    /// Makes the newest bucket, which is the first, the one of `now`.
    fn turn_to(&mut self, now: Instant) {
        let newest = *self.newest.get_or_insert(now);
        let turns = now.saturating_duration_since(newest).as_secs() / BUCKET.as_secs();
        let turns = usize::try_from(turns).unwrap_or(BUCKETS);
        if turns == 0 {
            return;
        }
        self.buckets.rotate_right(turns.min(BUCKETS));
        self.buckets[..turns.min(BUCKETS)].fill((0, 0));
        self.newest = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    fn rng() -> SmallRng {
        SmallRng::seed_from_u64(1)
    }

    fn after(evidence: &[Evidence]) -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for &one in evidence {
            breaker.record(one, now, &mut rng());
        }
        (breaker, now)
    }

    use Evidence::{Hard, Soft, Success};

    #[test]
    fn three_hard_or_five_soft_failures_in_a_row_open_it() {
        assert_eq!(after(&[Hard, Hard]).0.state(), StateName::Closed);
        assert_eq!(after(&[Hard, Hard, Hard]).0.state(), StateName::Open);
        assert_eq!(after(&[Soft; 4]).0.state(), StateName::Closed);
        assert_eq!(after(&[Soft; 5]).0.state(), StateName::Open);
        assert_eq!(after(&[Hard, Hard, Success, Hard, Hard]).0.state(), StateName::Closed);
    }

    #[test]
    fn a_low_share_of_successes_opens_it_without_a_run() {
        let (breaker, _) =
            after(&[Hard, Success, Soft, Soft, Success, Hard, Soft, Success, Soft, Soft, Hard]);
        assert_eq!(breaker.state(), StateName::Open);
    }

    #[test]
    fn old_failures_leave_the_window() {
        let (mut breaker, start) = after(&[Soft, Success, Soft, Success, Soft, Success, Soft, Soft, Soft]);
        let later = start + Duration::from_secs(31);
        breaker.record(Soft, later, &mut rng());
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn it_waits_longer_every_time_up_to_the_longest() {
        let (mut breaker, mut now) = after(&[Hard; 3]);
        let mut waits = Vec::new();
        for _ in 0..10 {
            let Admission::Rejected { until, .. } = breaker.admission() else { panic!("not open") };
            waits.push(until - now);
            now = until;
            assert!(breaker.probe_is_due(now) && !breaker.probe_is_due(now));
            breaker.probed(false, now, &mut rng());
        }
        assert!(waits[0] >= FIRST_OPEN && waits[0] <= FIRST_OPEN.mul_f64(1.5));
        assert!(waits[9] >= LONGEST_OPEN && waits[9] <= LONGEST_OPEN.mul_f64(1.5));
    }

    #[test]
    fn when_nobody_else_is_left_it_is_probed_every_second() {
        let (mut breaker, mut now) = after(&[Hard; 3]);
        for _ in 0..10 {
            breaker.hasten();
            now += FIRST_OPEN;
            assert!(breaker.probe_is_due(now));
            breaker.hasten();
            breaker.probed(false, now, &mut rng());
            assert!(!breaker.probe_is_due(now));
        }
        let (mut soft, now) = after(&[Soft; 5]);
        let before = soft.admission();
        soft.hasten();
        assert!(soft.admission() == before && !soft.probe_is_due(now));
    }

    #[test]
    fn one_call_tries_and_a_cancelled_one_decides_nothing() {
        let (mut breaker, start) = after(&[Hard; 3]);
        let now = start + Duration::from_secs(2);
        assert!(breaker.probe_is_due(now));
        breaker.probed(true, now, &mut rng());
        assert_eq!((breaker.state(), breaker.admission()), (StateName::HalfOpen, Admission::Admitted));
        breaker.begin();
        assert!(matches!(breaker.admission(), Admission::Rejected { .. }));
        breaker.abandon();
        assert_eq!(breaker.admission(), Admission::Admitted);
        breaker.begin();
        assert!(breaker.record(Success, now, &mut rng()));
        assert_eq!(breaker.state(), StateName::Closed);
    }

    #[test]
    fn a_failed_try_opens_it_again_and_for_longer() {
        let (mut breaker, start) = after(&[Soft; 5]);
        let now = start + Duration::from_secs(2);
        breaker.probe_is_due(now);
        breaker.probed(true, now, &mut rng());
        breaker.begin();
        breaker.record(Soft, now, &mut rng());
        let Admission::Rejected { soft: true, until } = breaker.admission() else { panic!("not open") };
        assert!(until - now >= FIRST_OPEN * 2);
    }

    #[test]
    fn a_long_clean_time_is_rewarded() {
        let (mut breaker, start) = after(&[Hard; 3]);
        let now = start + Duration::from_secs(2);
        breaker.probe_is_due(now);
        breaker.probed(true, now, &mut rng());
        breaker.record(Success, now, &mut rng());
        let later = now + FORGIVEN_AFTER * 2;
        for _ in 0..HARD_RUN {
            breaker.record(Hard, later, &mut rng());
        }
        let Admission::Rejected { until, .. } = breaker.admission() else { panic!("not open") };
        assert!(until - later <= FIRST_OPEN.mul_f64(1.5));
    }

    proptest! {
        #[test]
        fn successes_alone_never_open_it_and_it_always_recovers(steps in prop::collection::vec((0u8..5, 0u64..40), 0..200)) {
            let (mut breaker, mut now, mut rng) = (Breaker::default(), Instant::now(), rng());
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                let was_open = breaker.state() == StateName::Open;
                match step {
                    0 => { breaker.record(Success, now, &mut rng); }
                    1 => { breaker.record(Hard, now, &mut rng); }
                    2 => { breaker.record(Soft, now, &mut rng); }
                    3 => { breaker.begin(); breaker.abandon(); breaker.hasten(); }
                    _ => if breaker.probe_is_due(now) { breaker.probed(seconds % 2 == 0, now, &mut rng); }
                }
                prop_assert!(step != 0 || was_open || breaker.state() == StateName::Closed);
            }
            now += LONGEST_OPEN * 2;
            if breaker.probe_is_due(now) {
                breaker.probed(true, now, &mut rng);
            }
            breaker.abandon();
            prop_assert_eq!(breaker.admission(), Admission::Admitted);
        }
    }
}
