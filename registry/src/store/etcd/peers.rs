//! What is known of the replicas that share a store: who is there, and whether what they hear still comes by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::engine::{Cause, Gap};

/// Time without a flush, of which there is one a second, after which signs of life may be missing.
const LATE: Duration = Duration::from_secs(3);
/// Time for the loss of a replica to be taken in before silence is believed again.
const TAKING_IN: Duration = Duration::from_secs(2);

/// All replicas of a store, as one of them sees them.
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
    others: BTreeMap<i64, Peer>,
    numbers: u32,
}

#[derive(Debug)]
struct Peer {
    number: u32,
    is_present: bool,
    /// When its last flush came by.
    heard: Instant,
    lost: Option<Instant>,
}

/// A replica that is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Its number.
    pub(super) number: u32,
    /// When its last flush came by.
    pub(super) heard: Instant,
}

impl Peers {
    /// Nobody is known.
    pub(super) fn nobody(now: Instant) -> Self {
        let (mine, sent, others) = Default::default();
        Self(Mutex::new(Known { mine, sent, current: now, others, numbers: 0 }))
    }

    /// This process has a lease.
    pub(super) fn is_me(&self, replica: i64) {
        self.lock().mine.insert(replica);
    }

    /// Whether a lease is, or was, that of this process.
    pub(super) fn is_mine(&self, replica: i64) -> bool {
        self.lock().mine.contains(&replica)
    }

    /// These replicas are there, and no others. Returns who is not there any more.
    pub(super) fn present(&self, replicas: &BTreeSet<i64>, now: Instant) -> Vec<Lost> {
        let mut known = self.lock();
        known.current = now;
        for replica in replicas.difference(&known.mine.clone()) {
            known.peer(*replica, now).is_present = true;
        }
        let gone = known.others.iter().filter(|(name, peer)| peer.is_present && !replicas.contains(name));
        let gone = gone.map(|(name, _)| *name).collect::<Vec<_>>();
        gone.into_iter().filter_map(|name| known.lose(name, now)).collect()
    }

    /// The number of a replica that is there and not this one.
    pub(super) fn number(&self, replica: i64) -> Option<u32> {
        self.lock().others.get(&replica).filter(|peer| peer.is_present).map(|peer| peer.number)
    }

    /// A replica has come.
    pub(super) fn arrived(&self, replica: i64, now: Instant) {
        let mut known = self.lock();
        if !known.mine.contains(&replica) {
            let peer = known.peer(replica, now);
            (peer.is_present, peer.heard) = (true, now);
        }
    }

    /// A flush of another replica has come by. Returns its number.
    pub(super) fn flushed(&self, replica: i64, now: Instant) -> u32 {
        let mut known = self.lock();
        let peer = known.peer(replica, now);
        peer.heard = now;
        peer.number
    }

    /// A replica is gone; `None` when it was not there, or is this one.
    pub(super) fn gone(&self, replica: i64, now: Instant) -> Option<Lost> {
        self.lock().lose(replica, now)
    }

    /// A flush of ours is on its way.
    pub(super) fn sent(&self, replica: i64, number: u64, now: Instant) {
        self.lock().sent.insert((replica, number), now);
    }

    /// A flush of ours has come by, and so has everything that was written before it was sent.
    pub(super) fn came_by(&self, replica: i64, number: u64) {
        let mut known = self.lock();
        if let Some(sent) = known.sent.get(&(replica, number)).copied() {
            known.current = known.current.max(sent);
            known.sent.retain(|_, other| *other > sent);
        }
    }

    /// Why signs of life may be missing here, if they may.
    pub(super) fn gap(&self, now: Instant) -> Option<Gap> {
        let known = self.lock();
        let is_late = |since: Instant| now.saturating_duration_since(since) > LATE;
        if is_late(known.current) {
            return Some(Gap { since: known.current, cause: Cause::Store });
        }
        let is_missed = |peer: &&Peer| match peer.lost {
            Some(lost) => now.saturating_duration_since(lost) < TAKING_IN,
            None => peer.is_present && is_late(peer.heard),
        };
        let missed = known.others.values().filter(is_missed).map(|peer| peer.heard).min();
        missed.map(|since| Gap { since, cause: Cause::Replica })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn peer(&mut self, replica: i64, now: Instant) -> &mut Peer {
        let numbers = &mut self.numbers;
        self.others.entry(replica).or_insert_with(|| {
            *numbers += 1;
            Peer { number: *numbers, is_present: false, heard: now, lost: None }
        })
    }

    fn lose(&mut self, replica: i64, now: Instant) -> Option<Lost> {
        // Who was lost long ago is forgotten, so that replicas may come and go for years.
        self.others.retain(|_, peer| peer.lost.is_none_or(|lost| now - lost < TAKING_IN));
        let peer = self.others.get_mut(&replica).filter(|peer| peer.is_present)?;
        (peer.is_present, peer.lost) = (false, Some(now));
        Some(Lost { number: peer.number, heard: peer.heard })
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
        peers.arrived(7, start);
        assert_eq!(cause(&peers, start + SECOND * 2), None);
        assert_eq!(cause(&peers, start + SECOND * 4), Some(Cause::Replica));
        assert_eq!(peers.flushed(7, start + SECOND * 4), 1);
        assert_eq!(cause(&peers, start + SECOND * 5), None);
        assert_eq!(peers.gone(7, start + SECOND * 5), Some(Lost { number: 1, heard: start + SECOND * 4 }));
        assert_eq!(peers.gone(7, start + SECOND * 5), None);
        assert_eq!(cause(&peers, start + SECOND * 6), Some(Cause::Replica));
        assert_eq!(cause(&peers, start + SECOND * 7), None);
    }

    #[test]
    fn who_left_while_we_were_away_is_found_out() {
        let start = Instant::now();
        let peers = Peers::nobody(start);
        peers.is_me(1);
        assert_eq!(peers.present(&BTreeSet::from([1, 7, 8]), start), []);
        assert_eq!((peers.number(1), peers.number(7), peers.number(9)), (None, Some(1), None));
        let lost = peers.present(&BTreeSet::from([1, 8]), start + SECOND);
        assert_eq!(lost, [Lost { number: 1, heard: start }]);
    }
}
