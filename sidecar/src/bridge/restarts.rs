//! When a program that has ended is started again. Pure: `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How a program is started again.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Pause before the first restart; it doubles with every one in a row.
    pub first: Duration,
    /// Longest such pause.
    pub longest: Duration,
    /// Time that a program must have been up for the pauses to begin anew.
    pub settled: Duration,
    /// Restarts that are granted at once.
    pub budget: u32,
    /// Time after which one more is granted.
    pub refill: Duration,
    /// Pause when none is left: something is wrong that a restart does not put right.
    pub rare: Duration,
}

/// The restarts of one program.
#[derive(Debug)]
pub struct Restarts {
    policy: Policy,
    in_row: u32,
    left: f64,
    filled_at: Instant,
}

/// The pause before a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// How long.
    pub time: Duration,
    /// Whether the budget is used up.
    pub is_rare: bool,
}

impl Default for Policy {
    /// A program that crashes at once, always, is started 16 times within 6 minutes and then every 5 minutes.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            settled: Duration::from_secs(60),
            budget: 16,
            refill: Duration::from_secs(120),
            rare: Duration::from_secs(300),
        }
    }
}

impl Restarts {
    /// Nothing has ended yet.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self { policy, in_row: 0, left: f64::from(policy.budget), filled_at: now }
    }

    /// The program has ended after it was up for `lived`; zero when it never was.
    pub fn after(&mut self, lived: Duration, now: Instant) -> Pause {
        let Policy { first, longest, settled, budget, refill, rare } = self.policy;
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.left = (self.left + passed / refill.as_secs_f64().max(f64::MIN_POSITIVE)).min(f64::from(budget));
        if lived >= settled {
            self.in_row = 0;
        }
        if self.left < 1.0 {
            return Pause { time: rare, is_rare: true };
        }
        self.left -= 1.0;
        let time = first.saturating_mul(1 << self.in_row.min(16)).min(longest);
        self.in_row += 1;
        Pause { time, is_rare: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(lived: f64, count: usize) -> Vec<Pause> {
        let mut now = Instant::now();
        let mut restarts = Restarts::new(Policy::default(), now);
        let next = |_| {
            now += Duration::from_secs_f64(lived);
            let pause = restarts.after(Duration::from_secs_f64(lived), now);
            now += pause.time;
            pause
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn pauses_double_up_to_half_a_minute_and_then_the_budget_is_used_up() {
        let pauses = pauses(0.0, 40);
        let seconds = pauses.iter().map(|pause| pause.time.as_secs_f64()).collect::<Vec<_>>();
        assert_eq!(seconds[..8], [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        let rare = pauses.iter().position(|pause| pause.is_rare).unwrap();
        assert!((16..24).contains(&rare), "{rare}");
        // From then on no more restarts than the budget is refilled for: one in 2 minutes, and the one that was left over.
        let spent: f64 = seconds[rare..].iter().sum();
        let granted = pauses[rare..].iter().filter(|pause| !pause.is_rare).count();
        assert!(granted as f64 <= spent / 120.0 + 1.0, "{granted} in {spent} s");
    }

    #[test]
    fn a_program_that_ends_now_and_then_is_started_at_once_for_ever() {
        assert!(pauses(150.0, 200).iter().all(|pause| pause.time == Duration::from_millis(500)));
    }
}
