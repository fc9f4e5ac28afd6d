//! The latest changes, for watchers: a ring that each reads at its own pace. Nobody waits for a watcher; one that is too
//! slow finds that what it wanted has been overwritten.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::bell::Bell;
use super::event::Event;

/// Most events that a watcher takes at once, and most of their weight in bytes, but for the first.
const MAX_EVENTS: usize = 64;
const MAX_TAKEN: usize = 1024 * 1024;
/// Most that all events may weigh, in bytes: documents may be a thousand times larger than they usually are.
const MAX_WEIGHT: usize = 64 * 1024 * 1024;

/// The latest changes.
#[derive(Debug)]
pub struct History {
    ring: RwLock<Ring>,
    /// The end of the ring; wakes watchers.
    end: Bell,
    capacity: usize,
    /// How far apart registries may be in noticing the same.
    overlap: Duration,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The place of the first event: how many there were before it.
    first: u64,
    /// The history is whole from behind this revision on.
    floor: u64,
    /// When the last change was told that has been overwritten.
    overwritten: Option<Instant>,
    weight: usize,
}

/// Where one goes on who has been told everything up to some revision, perhaps by another registry.
#[derive(Debug)]
pub struct Resumed {
    /// The place of the next change.
    pub place: u64,
    /// Changes of status before it that the other registry may have noticed later than this one.
    pub again: Vec<Arc<Event>>,
}

/// What is asked for is not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes are kept from resource version {kept_from} on: list again and watch from there")]
pub struct Gone {
    /// The revision from which on one can resume.
    pub kept_from: u64,
}

impl History {
    /// Keeps the latest `capacity` changes. Registries that share a store notice the same within `overlap`.
    pub fn new(capacity: usize, overlap: Duration) -> Self {
        Self { ring: RwLock::default(), end: Bell::default(), capacity: capacity.max(1), overlap }
    }

    /// Adds changes, the oldest first.
    pub fn push(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.weight += events.iter().map(Event::weight).sum::<usize>();
        ring.events.extend(events.into_iter().map(Arc::new));
        while ring.events.len() > self.capacity || ring.weight > MAX_WEIGHT {
            let Some(lost) = ring.events.pop_front() else { break };
            ring.weight -= lost.weight();
            (ring.floor, ring.overwritten) = (lost.revision, Some(lost.told));
            ring.first += 1;
        }
        let end = ring.end();
        drop(ring);
        self.end.ring(end);
    }

    /// Forgets everything: what happened up to `revision` is not known one by one.
    pub fn restart(&self, revision: u64) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        // One place is skipped, so that who had read all so far finds something missing.
        ring.first = ring.end() + 1;
        ring.events.clear();
        ring.weight = 0;
        (ring.floor, ring.overwritten) = (revision, None);
        let end = ring.end();
        drop(ring);
        self.end.ring(end);
    }

    /// The place behind all changes.
    pub fn end(&self) -> u64 {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).end()
    }

    /// What wakes whoever waits for more.
    pub fn bell(&self) -> &Bell {
        &self.end
    }

    /// Where one goes on who has been told everything up to `revision`. Registrations are the same everywhere; but another
    /// registry may have been about to announce a change of status that this one had announced already.
    ///
    /// # Errors
    /// When something that is needed has been overwritten.
    pub fn after(&self, revision: u64) -> Result<Resumed, Gone> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let gone = Gone { kept_from: ring.floor };
        if revision < ring.floor {
            return Err(gone);
        }
        let told = ring.events.partition_point(|event| event.revision <= revision);
        let place = ring.first + told as u64;
        let before = || ring.events.iter().take(told).rev();
        // The revision was reached here with the last change before it, or later.
        let reached = before().next().map(|event| event.told);
        let is_near = |moment: Instant| reached.is_some_and(|reached| moment + self.overlap > reached);
        if ring.overwritten.is_some_and(is_near) {
            return Err(gone);
        }
        let noticed = before().take_while(|event| is_near(event.told)).filter(|event| event.is_noticed);
        let mut again = noticed.cloned().collect::<Vec<_>>();
        again.reverse();
        Ok(Resumed { place, again })
    }

    /// The next changes from `place` on; none when there are no more yet.
    ///
    /// # Errors
    /// When they have been overwritten.
    pub fn from(&self, place: u64) -> Result<Vec<Arc<Event>>, Gone> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let Some(skipped) = place.checked_sub(ring.first) else { return Err(Gone { kept_from: ring.floor }) };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let mut weight = 0;
        let is_light = |event: &&Arc<Event>| {
            let is_light = weight < MAX_TAKEN;
            weight += event.weight();
            is_light
        };
        Ok(ring.events.iter().skip(skipped).take(MAX_EVENTS).take_while(is_light).cloned().collect())
    }
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64) -> Event {
        Event::new(revision, Instant::now(), None, None)
    }

    fn history(capacity: usize, revisions: std::ops::RangeInclusive<u64>) -> History {
        let history = History::new(capacity, Duration::ZERO);
        history.restart(2);
        revisions.for_each(|revision| history.push(vec![event(revision)]));
        history
    }

    fn place_after(history: &History, revision: u64) -> u64 {
        history.after(revision).unwrap().place
    }

    fn revisions(history: &History, place: u64) -> Vec<u64> {
        history.from(place).unwrap().iter().map(|event| event.revision).collect()
    }

    #[test]
    fn whoever_comes_back_finds_what_it_missed() {
        let history = history(10, 3..=6);
        assert_eq!(revisions(&history, place_after(&history, 4)), [5, 6]);
        assert_eq!(revisions(&history, place_after(&history, 2)), [3, 4, 5, 6]);
        assert_eq!(revisions(&history, history.end()), [0; 0]);
        assert_eq!(history.after(1).unwrap_err(), Gone { kept_from: 2 });
    }

    #[test]
    fn what_was_overwritten_is_not_passed_over_in_silence() {
        let history = history(2, 3..=4);
        let place = place_after(&history, 2);
        history.push(vec![event(5)]);
        assert!(history.after(3).is_ok());
        assert_eq!(history.after(2).unwrap_err(), Gone { kept_from: 3 });
        assert!(history.from(place).is_err());
    }

    #[test]
    fn after_a_restart_everybody_lists_again() {
        let history = history(10, 3..=6);
        let place = history.end();
        history.restart(9);
        assert!(history.from(place).is_err() && history.after(6).is_err());
        assert_eq!(revisions(&history, place_after(&history, 9)), [0; 0]);
    }

    #[test]
    fn who_comes_from_another_registry_hears_again_what_that_one_may_not_have_noticed() {
        const SECOND: Duration = Duration::from_secs(1);
        let (start, overlap) = (Instant::now(), SECOND * 10);
        let registered = |revision, after: u32| Event::new(revision, start + SECOND * after, None, None);
        let noticed = |revision, after| registered(revision, after).noticed();
        let history = History::new(4, overlap);
        history.push(vec![noticed(3, 0), noticed(4, 12), registered(5, 14), noticed(6, 20)]);
        let again = |from| {
            let resumed = history.after(from).unwrap();
            resumed.again.iter().map(|event| event.revision).collect::<Vec<_>>()
        };
        assert_eq!(
            [again(2), again(3), again(4), again(5), again(7)],
            [vec![], vec![3], vec![4], vec![4], vec![4, 6]]
        );
        // What is overwritten cannot be told again: then everything is listed again.
        history.push(vec![registered(8, 25)]);
        assert_eq!((history.after(8).unwrap().again.len(), history.after(5).is_ok()), (1, true));
        history.push(vec![registered(9, 26)]);
        assert_eq!(history.after(5).unwrap_err(), Gone { kept_from: 4 });
    }

    #[test]
    fn who_waits_is_woken() {
        let history = history(10, 3..=3);
        let before = history.bell().number();
        history.push(vec![event(4)]);
        assert_ne!(history.bell().number(), before);
    }
}
