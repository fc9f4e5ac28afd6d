//! The order of answers: every agent has a label, a number, and labels sort as ids do.
//!
//! Sorting what a query found then compares numbers that lie side by side instead of texts all over memory. A label
//! leaves room to its neighbours; when the room between two is used up, all labels are spread anew. Ids that come one
//! after the other, up or down, as those of a deployment do, use the room between them up evenly; only ids that crowd
//! in ever smaller gaps halve it.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

/// Room left beyond the first and the last label: a hundred million ids fit in a row.
const BEYOND: u64 = 1 << 36;
/// Room left between two that come one after the other: a million of them fit between neighbours from the ends.
const STEP: u64 = 1 << 16;

/// Which seat an id has, and the order of ids.
#[derive(Debug, Default)]
pub struct Order {
    seats: BTreeMap<Arc<str>, u32>,
    /// By seat.
    labels: Vec<u64>,
    /// The seat that was taken last, and from which side it came.
    latest: Option<(u32, Run)>,
}

impl Order {
    /// How many ids there are.
    pub fn count(&self) -> usize {
        self.seats.len()
    }

    /// The seat of `id`.
    pub fn seat(&self, id: &str) -> Option<u32> {
        self.seats.get(id).copied()
    }

    /// The label of a seat that is taken.
    pub fn label(&self, seat: u32) -> u64 {
        self.labels.get(seat as usize).copied().unwrap_or_default()
    }

    /// The seat of the first id behind `id`, which need not be there itself.
    pub fn behind(&self, id: &str) -> Option<u32> {
        self.seats.range::<str, _>((Excluded(id), Unbounded)).next().map(|(_, seat)| *seat)
    }

    /// All seats in the order of their ids, from `id` on, or from the first.
    pub fn seats(&self, from: Option<&str>) -> impl Iterator<Item = u32> + use<'_> {
        let from = from.map_or(Unbounded, Included);
        self.seats.range::<str, _>((from, Unbounded)).map(|(_, seat)| *seat)
    }

    /// Gives `id` a seat that is free.
    pub fn insert(&mut self, id: Arc<str>, seat: u32) {
        let before =
            self.seats.range::<str, _>((Unbounded, Excluded(&*id))).next_back().map(|(_, seat)| *seat);
        let behind = self.behind(&id);
        let side = match self.latest {
            Some((latest, _)) if before == Some(latest) => Run::Up,
            Some((latest, _)) if behind == Some(latest) => Run::Down,
            _ => Run::None,
        };
        // Once is chance.
        let is_run = self.latest.replace((seat, side)).is_some_and(|(_, before)| before == side);
        let run = if is_run { side } else { Run::None };
        let (before, behind) = (before.map(|seat| self.label(seat)), behind.map(|seat| self.label(seat)));
        self.seats.insert(id, seat);
        let needed = seat as usize + 1;
        if self.labels.len() < needed {
            self.labels.resize(needed, 0);
        }
        match between(before, behind, run) {
            Some(label) => self.labels[seat as usize] = label,
            None => self.spread(),
        }
    }

    /// Takes the seat of `id` away.
    pub fn remove(&mut self, id: &str) -> Option<u32> {
        self.seats.remove(id)
    }

    fn spread(&mut self) {
        // Over the middle half, so that at both ends there is room again.
        let step = u64::MAX / 2 / (self.seats.len() as u64 + 1);
        let mut label = u64::MAX / 4;
        for seat in self.seats.values() {
            label += step;
            self.labels[*seat as usize] = label;
        }
    }
}

/// Whether an id comes right behind or right before the one that came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Up,
    Down,
    None,
}

/// A label between two neighbours; `None` when there is no room.
fn between(before: Option<u64>, behind: Option<u64>, run: Run) -> Option<u64> {
    match (before, behind) {
        (None, None) => Some(u64::MAX / 2),
        (Some(before), None) => before.checked_add(BEYOND),
        (None, Some(behind)) => behind.checked_sub(BEYOND),
        (Some(before), Some(behind)) => {
            let half = (behind - before) / 2;
            (half > 0).then(|| match run {
                Run::Up => before + half.min(STEP),
                Run::Down => behind - half.min(STEP),
                Run::None => before + half,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_in_order(order: &Order) -> bool {
        order.seats(None).map(|seat| order.label(seat)).is_sorted_by(|a, b| a < b)
    }

    #[test]
    fn ids_that_come_one_after_the_other_leave_room_for_more() {
        for is_down in [false, true] {
            let mut order = Order::default();
            order.insert("a".into(), 0);
            order.insert("c".into(), 1);
            let (first, last) = (order.label(0), order.label(1));
            for seat in 2..3_000 {
                let number = if is_down { 9_999 - seat } else { seat };
                order.insert(format!("b{number:04}").into(), seat);
            }
            assert!(is_in_order(&order));
            assert_eq!((order.label(0), order.label(1)), (first, last), "labels have not been spread");
        }
    }

    #[test]
    fn after_labels_were_spread_ids_find_room_at_both_ends() {
        let mut order = Order::default();
        order.insert("b".into(), 0);
        order.insert("m".into(), 1);
        order.spread();
        let (first, last) = (order.label(0), order.label(1));
        for seat in 2..3_000 {
            let id = if seat % 2 == 0 { format!("a{:04}", 9_999 - seat) } else { format!("z{seat:04}") };
            order.insert(id.into(), seat);
        }
        assert!(is_in_order(&order));
        assert_eq!((order.label(0), order.label(1)), (first, last), "labels have not been spread again");
    }

    #[test]
    fn ids_that_crowd_between_two_others_find_room() {
        let mut order = Order::default();
        order.insert("a".into(), 0);
        order.insert("c".into(), 1);
        for seat in 2..300 {
            // Each is behind "b" and before the one that came last, so the room between them halves every time.
            order.insert(format!("b{:04}", 9_999 - seat).into(), seat);
        }
        assert!(is_in_order(&order) && order.count() == 300);
    }

    proptest! {
        #[test]
        fn labels_sort_as_ids_do(ids in prop::collection::vec("[ab]{1,7}", 0..60), removed in prop::collection::vec(any::<bool>(), 60)) {
            let mut order = Order::default();
            for (seat, id) in ids.iter().enumerate() {
                if order.seat(id).is_none() {
                    order.insert(id.as_str().into(), seat as u32);
                }
            }
            for (id, _) in ids.iter().zip(removed).filter(|(_, removed)| *removed) {
                order.remove(id);
            }
            prop_assert!(is_in_order(&order));
            let behind = ids.iter().filter(|id| id.as_str() > "ab" && order.seat(id).is_some()).min();
            prop_assert_eq!(order.behind("ab"), behind.and_then(|id| order.seat(id)));
        }
    }
}
