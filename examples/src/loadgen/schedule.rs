//! When requests of a fixed rate are due, and the thread that lets them go.
//!
//! Latency counts from the moment at which a request was due, not from the one at which somebody found time to send it:
//! a server that stalls is asked no less often for it ("coordinated omission"). The runtime's timer wakes a millisecond
//! or two late, which would be measured as the server's, so a thread does the waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::Semaphore;

/// When requests are due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first one is due.
    pub began: Instant,
    /// How many are due in each second.
    pub per_second: f64,
}

/// Adds a permit whenever a request is due, until it is dropped.
#[derive(Debug)]
pub struct Pacer {
    /// One permit for each request that is due and that nobody has taken.
    pub due: Arc<Semaphore>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Schedule ===

impl Schedule {
    /// When request `number`, counted from 0, is due.
    pub fn at(&self, number: u64) -> Instant {
        self.began + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// How many requests are due at `now`.
    pub fn due(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.began) {
            Some(since) => (since.as_secs_f64() * self.per_second) as u64 + 1,
            None => 0,
        }
    }
}

// === impl Pacer ===

impl Pacer {
    /// Follows `schedule`. It looks no more often than each `grain`, so that a high rate does not take a core for itself.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(schedule: Schedule, grain: Duration) -> anyhow::Result<Self> {
        let (due, stop) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = thread::Builder::new().name("pacer".to_owned());
        let thread = thread.spawn({
            let (due, stop) = (Arc::clone(&due), Arc::clone(&stop));
            move || pace(schedule, grain, &due, &stop)
        });
        Ok(Self { due, stop, thread: Some(thread.context("the pacer cannot be started")?) })
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does nothing that could panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

fn pace(schedule: Schedule, grain: Duration, due: &Semaphore, stop: &AtomicBool) {
    let mut released = 0;
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let until_now = schedule.due(now);
        due.add_permits((until_now - released) as usize);
        released = until_now;
        let next = schedule.at(released).max(now + grain);
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_distances() {
        let schedule = Schedule { began: Instant::now(), per_second: 200.0 };
        assert_eq!(schedule.at(0), schedule.began);
        assert_eq!(schedule.at(300) - schedule.began, Duration::from_millis(1_500));
    }

    #[test]
    fn a_request_is_due_from_its_moment_on_and_not_before() {
        let schedule = Schedule { began: Instant::now() + Duration::from_secs(1), per_second: 100.0 };
        let margin = Duration::from_micros(1);
        assert_eq!(schedule.due(schedule.began - margin), 0);
        for number in [0, 1, 99, 12_345] {
            assert_eq!(schedule.due(schedule.at(number) + margin), number + 1, "{number}");
            assert_eq!(schedule.due(schedule.at(number + 1) - margin), number + 1, "{number}");
        }
    }

    #[tokio::test]
    async fn the_pacer_lets_go_what_is_due_and_nothing_more() {
        let schedule = Schedule { began: Instant::now(), per_second: 2_000.0 };
        let pacer = Pacer::start(schedule, Duration::ZERO).unwrap();
        for number in 0..100 {
            pacer.due.acquire().await.unwrap().forget();
            assert!(Instant::now() >= schedule.at(number), "{number} was let go early");
        }
        assert!(pacer.due.available_permits() as u64 <= schedule.due(Instant::now()) - 100);
    }
}
