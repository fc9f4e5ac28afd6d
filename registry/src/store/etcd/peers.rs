//! What is known of the replicas that share a store: who is there, and whether what they hear still comes by.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::engine::{Cause, Gap};

/// Time without a flush, of which there is one a second, after which signs of life may be missing.
const LATE: Duration = Duration::from_secs(3);
/// For how long at least the quickest flush of a replica is what its later ones are measured by: clocks that nobody sets
/// drift apart all the same.
const MEASURE: Duration = Duration::from_secs(60);

/// Of how many replicas that are gone it is known how quick they were.
const MOST_GONE: usize = 64;

/// All replicas of a store, as one of them sees them. What comes by is told when the catalog has taken it in.
#[derive(Debug)]
pub(super) struct Peers(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// The leases that this process has had: its own flushes.
    mine: BTreeSet<i64>,
    /// Flushes of ours that have not come by yet, and when each was begun.
    sent: BTreeMap<(i64, u64), Instant>,
    /// Everything that was written before has come by.
    current: Instant,
    /// Those who are there.
    others: BTreeMap<i64, Peer>,
    /// What flushes are measured by of those who were there and are gone: one may still be under way.
    gone: VecDeque<(i64, Quickest)>,
    numbers: u32,
}

#[derive(Debug)]
struct Peer {
    number: u32,
    /// When its last flush was made that has come by; `None` for one that has only come, and heard nobody yet.
    heard: Option<Instant>,
    /// Whether its loss has been told, and not been taken in yet.
    is_lost: bool,
    quickest: Quickest,
}

/// The earliest moments, by our clock, at which a replica can have started, as its quickest flushes say.
#[derive(Debug, Default)]
struct Quickest {
    latest: Option<Instant>,
    before: Option<Instant>,
    since: Option<Instant>,
}

/// A replica that is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Its number.
    pub(super) number: u32,
    /// When its last flush was made that came by.
    pub(super) heard: Instant,
}

impl Peers {
    /// Nobody is known.
    pub(super) fn nobody(now: Instant) -> Self {
        let (mine, sent, others, gone) = Default::default();
        Self(Mutex::new(Known { mine, sent, current: now, others, gone, numbers: 0 }))
    }

    // === this replica ===

    /// This process has a lease.
    pub(super) fn is_me(&self, replica: i64) {
        self.lock().mine.insert(replica);
    }

    /// Whether a lease is, or was, that of this process.
    pub(super) fn is_mine(&self, replica: i64) -> bool {
        self.lock().mine.contains(&replica)
    }

    /// A flush of ours is on its way.
    pub(super) fn sent(&self, replica: i64, number: u64, now: Instant) {
        self.lock().sent.insert((replica, number), now);
    }

    /// A flush of ours has come by, and so has everything that was written before it was sent.
    pub(super) fn came_by(&self, replica: i64, number: u64) {
        let sent = self.lock().sent.get(&(replica, number)).copied();
        if let Some(sent) = sent {
            self.is_current(sent);
        }
    }

    /// Everything that was written before `then` has come by.
    pub(super) fn is_current(&self, then: Instant) {
        let mut known = self.lock();
        known.current = known.current.max(then);
        known.sent.retain(|_, sent| *sent > then);
    }

    // === the others ===

    /// A replica is there: since now, or, when it was found there, in reach of its flushes from `heard` on.
    pub(super) fn arrived(&self, replica: i64, heard: Option<Instant>) {
        let mut known = self.lock();
        if !known.mine.contains(&replica) {
            let number = known.numbers + 1;
            let peer = Peer { number, heard, is_lost: false, quickest: Quickest::default() };
            known.numbers = known.others.entry(replica).or_insert(peer).number.max(known.numbers);
        }
    }

    /// Those who were there and are not among `replicas`.
    pub(super) fn missing(&self, replicas: &BTreeSet<i64>) -> Vec<i64> {
        self.lock().others.keys().filter(|replica| !replicas.contains(replica)).copied().collect()
    }

    /// A replica is gone, which is to be told: what comes from it behind that is under nobody's number. `None` when it was
    /// not there, is this one, or its loss has been told.
    pub(super) fn lost(&self, replica: i64, now: Instant) -> Option<Lost> {
        let mut known = self.lock();
        let peer = known.others.get_mut(&replica).filter(|peer| !peer.is_lost)?;
        peer.is_lost = true;
        Some(Lost { number: peer.number, heard: peer.heard.unwrap_or(now) })
    }

    /// The loss of a replica has been taken in.
    pub(super) fn forget(&self, replica: i64) {
        let mut known = self.lock();
        if let Some(peer) = known.others.remove(&replica) {
            known.gone.push_front((replica, peer.quickest));
            known.gone.truncate(MOST_GONE);
        }
    }

    /// The number of a replica that is there and not this one.
    pub(super) fn number(&self, replica: i64) -> Option<u32> {
        self.lock().others.get(&replica).filter(|peer| !peer.is_lost).map(|peer| peer.number)
    }

    /// How long a flush was under way that a replica made `uptime` after its start: how much longer, that is, than its
    /// quickest one. Our own clock may have stood still, with all of this process.
    pub(super) fn lateness(&self, replica: i64, uptime: Duration, now: Instant) -> Duration {
        let mut known = self.lock();
        let started = now.checked_sub(uptime);
        let Known { others, gone, .. } = &mut *known;
        let quickest = others.get_mut(&replica).map(|peer| &mut peer.quickest);
        let gone = gone.iter_mut().find(|(name, _)| *name == replica).map(|(_, quickest)| quickest);
        let quickest = quickest.or(gone);
        quickest.zip(started).map_or(Duration::ZERO, |(quickest, started)| quickest.lateness(started, now))
    }

    /// A flush of a replica has come by that was made at `then`.
    pub(super) fn flushed(&self, replica: i64, then: Instant) {
        if let Some(peer) = self.lock().others.get_mut(&replica) {
            peer.heard = peer.heard.max(Some(then));
        }
    }

    /// Why signs of life may be missing here, if they may.
    pub(super) fn gap(&self, now: Instant) -> Option<Gap> {
        let known = self.lock();
        let is_late = |since: &Instant| now.saturating_duration_since(*since) > LATE;
        if is_late(&known.current) {
            return Some(Gap { since: known.current, cause: Cause::Store });
        }
        let missed = known.others.values().filter_map(|peer| peer.heard).filter(is_late).min();
        missed.map(|since| Gap { since, cause: Cause::Replica })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Quickest {
    fn lateness(&mut self, started: Instant, now: Instant) -> Duration {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > MEASURE) {
            (self.before, self.latest, self.since) = (self.latest, None, Some(now));
        }
        let latest = self.latest.map_or(started, |latest| latest.min(started));
        self.latest = Some(latest);
        let quickest = self.before.map_or(latest, |before| before.min(latest));
        started.saturating_duration_since(quickest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cause(peers: &Peers, now: Instant) -> Option<Cause> {
        peers.gap(now).map(|gap| gap.cause)
    }

    #[test]
    fn whoever_does_not_see_its_own_flushes_is_behind() {
        let start = Instant::now();
        let peers = Peers::nobody(start);
        peers.is_me(1);
        peers.sent(1, 0, start + SECOND);
        assert_eq!(cause(&peers, start + SECOND * 4), Some(Cause::Store));
        peers.came_by(1, 0);
        assert_eq!(cause(&peers, start + SECOND * 4), None);
        assert_eq!(peers.gap(start + SECOND * 5).map(|gap| gap.since), Some(start + SECOND));
    }

    #[test]
    fn a_replica_that_falls_silent_is_missed_until_its_loss_is_taken_in() {
        let start = Instant::now();
        let peers = Peers::nobody(start + SECOND * 100);
        peers.arrived(7, None);
        assert_eq!(cause(&peers, start + SECOND * 90), None, "it may take its time to start");
        peers.flushed(7, start);
        assert_eq!((cause(&peers, start + SECOND * 2), peers.number(7)), (None, Some(1)));
        assert_eq!(cause(&peers, start + SECOND * 4), Some(Cause::Replica));
        peers.flushed(7, start + SECOND * 4);
        assert_eq!(cause(&peers, start + SECOND * 5), None);
        assert_eq!(peers.lost(7, start), Some(Lost { number: 1, heard: start + SECOND * 4 }));
        assert_eq!(cause(&peers, start + SECOND * 8), Some(Cause::Replica));
        assert_eq!(
            (peers.number(7), peers.lost(7, start)),
            (None, None),
            "nobody would take over from it again"
        );
        peers.forget(7);
        assert_eq!((cause(&peers, start + SECOND * 8), peers.lost(7, start)), (None, None));
    }

    #[test]
    fn who_left_while_we_were_away_is_found_out_and_numbers_are_not_given_twice() {
        let start = Instant::now();
        let peers = Peers::nobody(start);
        peers.is_me(1);
        [1, 7, 8].into_iter().for_each(|replica| peers.arrived(replica, Some(start)));
        assert_eq!([1, 7, 8, 9].map(|replica| peers.number(replica)), [None, Some(1), Some(2), None]);
        assert_eq!(peers.missing(&BTreeSet::from([1, 8])), [7]);
        peers.forget(7);
        [8, 9].into_iter().for_each(|replica| peers.arrived(replica, Some(start)));
        assert_eq!((peers.number(8), peers.number(9)), (Some(2), Some(3)));
    }

    #[test]
    fn a_flush_that_was_under_way_for_long_is_recognised() {
        let (start, ms) = (Instant::now() + SECOND * 1_000, Duration::from_millis);
        let peers = Peers::nobody(start);
        peers.arrived(7, None);
        let lateness = |uptime: Duration, after: Duration| peers.lateness(7, uptime, start + after);
        // The quickest took 5 ms, which nobody can know.
        assert_eq!(lateness(SECOND, ms(5)), Duration::ZERO);
        assert_eq!(lateness(SECOND * 2, ms(1_035)), ms(30));
        // Then this process stood still for two minutes, and what came meanwhile comes all at once.
        assert_eq!(lateness(SECOND * 3, ms(122_005)), SECOND * 120);
        assert_eq!(lateness(SECOND * 122, ms(122_006)), SECOND + ms(1));
        assert_eq!(peers.lateness(9, SECOND, start), Duration::ZERO, "nobody knows this one");
        peers.forget(7);
        assert_eq!(lateness(SECOND * 123, ms(128_006)), SECOND * 6 + ms(1), "it was under way for longer");
    }
}
