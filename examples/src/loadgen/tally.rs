//! What became of many requests: latencies, bytes, errors. Pure.

use std::time::Duration;

/// What became of some requests.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    latencies: Vec<Duration>,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Requests that got no answer, or not the one that was wanted.
    pub errors: u64,
    /// Those of them that were never sent, because the rate was more than was answered.
    pub late: u64,
    /// What was wrong the first time.
    pub first_error: Option<String>,
}

/// Requests, and the time in which they were made.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Sorted.
    latencies: Vec<Duration>,
    /// Requests that were answered well.
    pub answered: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// Requests that got no answer, or not the one that was wanted.
    pub errors: u64,
    /// Those of them that were never sent, because the rate was more than was answered.
    pub late: u64,
    /// What was wrong the first time.
    pub first_error: Option<String>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

// === impl Tally ===

impl Tally {
    /// A good answer.
    pub fn answered(&mut self, latency: Duration, bytes: usize) {
        self.latencies.push(latency);
        self.bytes += bytes as u64;
    }

    /// A request that had not been answered well when `latency` had passed. It counts among the latencies too: leaving
    /// out what never came would flatter whoever did not answer.
    pub fn failed(&mut self, latency: Duration, reason: impl FnOnce() -> String) {
        self.latencies.push(latency);
        self.errors += 1;
        self.first_error.get_or_insert_with(reason);
    }

    /// A request that was due so long ago that it was not sent any more; it counts as failed.
    pub fn late(&mut self, latency: Duration) {
        self.late += 1;
        self.failed(latency, || "the rate is more than it answers".to_owned());
    }

    /// Both together.
    pub fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.late += other.late;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// All of it, made in `elapsed`.
    pub fn conclude(self, elapsed: Duration) -> Outcome {
        let Self { mut latencies, bytes, errors, late, first_error } = self;
        latencies.sort_unstable();
        let answered = latencies.len() as u64 - errors;
        Outcome { latencies, answered, bytes, errors, late, first_error, elapsed }
    }
}

// === impl Outcome ===

impl Outcome {
    /// The latency that `percent` of all requests did not exceed, by the nearest rank; zero when there were none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.latencies.len() as f64).ceil() as usize;
        self.latencies.get(rank.max(1) - 1).or(self.latencies.last()).copied().unwrap_or_default()
    }

    /// Good answers in a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Mean bytes of a good answer.
    pub fn bytes_each(&self) -> f64 {
        self.bytes as f64 / self.answered.max(1) as f64
    }
}

/// The median of several figures; not a number when there are none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(latencies: impl IntoIterator<Item = u64>) -> Outcome {
        let mut tally = Tally::default();
        latencies.into_iter().for_each(|ms| tally.answered(Duration::from_millis(ms), 10));
        tally.conclude(Duration::from_secs(2))
    }

    #[test]
    fn percentiles_are_latencies_that_were_measured() {
        let outcome = outcome((1..=100).rev());
        let percentiles =
            [0.0, 1.0, 50.0, 50.5, 99.0, 99.1, 100.0].map(|percent| outcome.percentile(percent).as_millis());
        assert_eq!(percentiles, [1, 1, 50, 51, 99, 100, 100]);
    }

    #[test]
    fn a_single_latency_is_every_percentile_and_none_is_zero() {
        assert_eq!(outcome([7]).percentile(99.0), Duration::from_millis(7));
        assert_eq!(outcome([]).percentile(50.0), Duration::ZERO);
    }

    #[test]
    fn what_failed_counts_as_slow_and_not_as_answered() {
        let (mut tally, mut other) = (Tally::default(), Tally::default());
        tally.answered(Duration::from_millis(1), 30);
        other.failed(Duration::from_secs(5), || "no answer".to_owned());
        other.late(Duration::from_secs(4));
        tally.merge(other);
        let outcome = tally.conclude(Duration::from_secs(1));
        assert_eq!((outcome.answered, outcome.errors, outcome.late), (1, 2, 1));
        assert_eq!(outcome.first_error.as_deref(), Some("no answer"));
        assert_eq!(outcome.percentile(100.0), Duration::from_secs(5));
        assert!((outcome.rate() - 1.0).abs() < 1e-9 && (outcome.bytes_each() - 30.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!((median(vec![9.0, 1.0, 5.0]), median(vec![4.0, 1.0, 2.0, 9.0])), (5.0, 3.0));
        assert!(median(Vec::new()).is_nan());
    }
}
