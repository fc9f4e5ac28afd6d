//! Which of several equal registries is asked, and which then. Pure but for a lock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time for which another registry is asked that has answered in place of the home.
const DETOUR: Duration = Duration::from_secs(30);

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Rota {
    /// Who is asked first when all are well.
    home: usize,
    /// Who is asked in place of that one, and until when.
    detour: Mutex<Option<(usize, Instant)>>,
}

impl Rota {
    /// Asks registry number `home` first.
    pub(crate) fn of(home: usize) -> Self {
        Self { home, detour: Mutex::default() }
    }

    /// The numbers of all `count` registries in the order in which they are asked.
    pub(crate) fn turns(&self, count: usize, now: Instant) -> impl ExactSizeIterator<Item = usize> + use<> {
        let detour = self.detour().filter(|(_, until)| now < *until);
        let first = detour.map_or(self.home, |(index, _)| index);
        (0..count).map(move |turn| (first + turn) % count)
    }

    /// The registry number `index` has answered.
    pub(crate) fn answered(&self, index: usize, now: Instant) {
        let mut detour = self.detour();
        match *detour {
            // Not put off again: the home has its turn in time.
            Some((known, until)) if known == index && now < until => {}
            _ => *detour = (index != self.home).then_some((index, now + DETOUR)),
        }
    }

    /// The registry number `index` of `count` answers, and another one is to be asked all the same.
    pub(crate) fn passed(&self, index: usize, count: usize, now: Instant) {
        *self.detour() = Some(((index + 1) % count, now + DETOUR));
    }

    fn detour(&self) -> MutexGuard<'_, Option<(usize, Instant)>> {
        self.detour.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_in_place_of_another_is_asked_for_a_while() {
        let (rota, now) = (Rota::of(0), Instant::now());
        let turns = |now| rota.turns(3, now).collect::<Vec<_>>();
        assert_eq!(turns(now), [0, 1, 2]);
        rota.answered(1, now);
        assert_eq!(turns(now), [1, 2, 0]);
        let later = now + DETOUR / 2;
        rota.answered(1, later);
        assert_eq!(turns(later), [1, 2, 0]);
        assert_eq!(turns(now + DETOUR), [0, 1, 2], "the first one is asked again in time");
        rota.answered(0, now + DETOUR);
        assert_eq!(turns(now + DETOUR), [0, 1, 2]);
        rota.passed(0, 3, now + DETOUR);
        assert_eq!(turns(now + DETOUR), [1, 2, 0]);
        assert_eq!(Rota::of(2).turns(3, now).collect::<Vec<_>>(), [2, 0, 1]);
    }
}
