//! This process as one of the replicas: its lease, the numbers of its flushes, and what it tidies up.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two sums.
const SUM_EVERY: Duration = Duration::from_secs(60);
/// Time after which what a lost replica wrote is deleted: by then those who took over have written sums of their own.
const MOURNING: Duration = Duration::from_secs(150);
/// How much of its past etcd keeps: who was away for longer reads everything again.
const PAST: Duration = Duration::from_secs(300);

/// This process as a replica.
#[derive(Debug)]
pub(super) struct Replica(Mutex<State>);

#[derive(Debug)]
struct State {
    lease: i64,
    /// The number of the next flush.
    next: u64,
    sum_due: Instant,
    /// The number of the first part of a sum that could not be finished.
    summing: Option<u64>,
    graves: Vec<(i64, Instant)>,
    /// Revisions that etcd had come to, the oldest first.
    past: VecDeque<(Instant, i64)>,
}

impl Replica {
    /// A replica that has no lease yet.
    pub(super) fn new(now: Instant) -> Self {
        let (lease, next, summing, graves, past) = Default::default();
        Self(Mutex::new(State { lease, next, sum_due: now + SUM_EVERY, summing, graves, past }))
    }

    /// Its lease, which is its name.
    pub(super) fn lease(&self) -> i64 {
        self.lock().lease
    }

    /// It has a lease, the first one or one in place of another that has run out. A sum under the new name is due, for those
    /// who start from now on; those who are there have heard it all, and go on from the flushes.
    pub(super) fn rename(&self, lease: i64, now: Instant) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.lease, lease);
        if before != 0 {
            state.graves.push((before, now));
        }
        (state.next, state.sum_due, state.summing) = (0, now, None);
    }

    /// Its name and the number of the next flush.
    pub(super) fn number(&self) -> (i64, u64) {
        let mut state = self.lock();
        state.next += 1;
        (state.lease, state.next - 1)
    }

    /// A replica is gone: what it wrote is to be deleted in time.
    pub(super) fn bury(&self, replica: i64, now: Instant) {
        let mut state = self.lock();
        if state.graves.iter().all(|(buried, _)| *buried != replica) {
            state.graves.push((replica, now));
        }
    }

    /// Whether it is time to sum up.
    pub(super) fn is_sum_due(&self, now: Instant) -> bool {
        now >= self.lock().sum_due
    }

    /// Its name and the number of the first part of a sum: the same until one is finished, so that what was written in
    /// vain is written over.
    pub(super) fn begin_sum(&self) -> (i64, u64) {
        let mut state = self.lock();
        let first = state.summing.unwrap_or(state.next);
        state.summing = Some(first);
        state.next = state.next.max(first + 1);
        (state.lease, first)
    }

    /// A sum is finished. Returns whether it still counts: the replica may have another name by now.
    pub(super) fn end_sum(&self, lease: i64, now: Instant) -> bool {
        let mut state = self.lock();
        let counts = state.lease == lease;
        if counts {
            (state.sum_due, state.summing) = (now + SUM_EVERY, None);
        }
        counts
    }

    /// The replicas whose mourning is over.
    pub(super) fn forgotten(&self, now: Instant) -> Vec<i64> {
        let state = self.lock();
        let over = state.graves.iter().filter(|(_, since)| now.saturating_duration_since(*since) >= MOURNING);
        over.map(|(replica, _)| *replica).collect()
    }

    /// There is nothing left of a replica, or it is there after all.
    pub(super) fn dig_up(&self, replica: i64) {
        self.lock().graves.retain(|(buried, _)| *buried != replica);
    }

    /// etcd has come to a revision. Returns up to which one it may forget.
    pub(super) fn forgettable(&self, revision: i64, now: Instant) -> Option<i64> {
        let past = &mut self.lock().past;
        past.push_back((now, revision));
        let over = past.partition_point(|(at, _)| now.saturating_duration_since(*at) >= PAST);
        past.drain(..over).next_back().map(|(_, revision)| revision)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_past_may_be_forgotten_and_each_time_once() {
        let start = Instant::now();
        let replica = Replica::new(start);
        let forgettable = |minutes: u32| replica.forgettable(i64::from(minutes), start + SUM_EVERY * minutes);
        assert_eq!([0, 1, 4].map(forgettable), [None; 3]);
        assert_eq!([6, 6, 9].map(forgettable), [Some(1), None, Some(4)]);
    }

    #[test]
    fn a_sum_that_failed_is_written_over_and_one_of_an_earlier_name_does_not_count() {
        let start = Instant::now();
        let replica = Replica::new(start);
        replica.rename(7, start);
        assert!(replica.is_sum_due(start));
        assert_eq!(
            [replica.number(), replica.begin_sum(), replica.number(), replica.begin_sum()],
            [(7, 0), (7, 1), (7, 2), (7, 1)]
        );
        replica.rename(8, start);
        assert!(!replica.end_sum(7, start) && replica.is_sum_due(start));
        assert_eq!(replica.begin_sum(), (8, 0));
        assert!(replica.end_sum(8, start) && !replica.is_sum_due(start));
    }

    #[test]
    fn what_a_lost_replica_wrote_is_kept_until_others_have_summed_up() {
        let start = Instant::now();
        let replica = Replica::new(start);
        [5, 6, 5].into_iter().for_each(|lost| replica.bury(lost, start));
        assert_eq!(replica.forgotten(start + MOURNING / 2), [0; 0]);
        assert_eq!(replica.forgotten(start + MOURNING), [5, 6]);
        replica.dig_up(5);
        assert_eq!(replica.forgotten(start + MOURNING), [6]);
    }
}
