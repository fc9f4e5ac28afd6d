//! The order of answers: every agent has a label, a number, and labels sort as ids do.
//!
//! Sorting what a query found then compares numbers that lie side by side instead of texts all over memory. A label
//! leaves room to its neighbours; when the room between two is used up, all labels are spread anew. With a million
//! agents there is room for sixteen million more in a row at one place before that happens.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

/// Room left between neighbours when nothing stands in the way.
const GAP: u64 = 1 << 24;

/// Which seat an id has, and the order of ids.
#[derive(Debug, Default)]
pub struct Order {
    seats: BTreeMap<Arc<str>, u32>,
    /// By seat.
    labels: Vec<u64>,
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
        let before = self
            .seats
            .range::<str, _>((Unbounded, Excluded(&*id)))
            .next_back()
            .map(|(_, seat)| self.label(*seat));
        let behind = self.behind(&id).map(|seat| self.label(seat));
        self.seats.insert(id, seat);
        let needed = seat as usize + 1;
        if self.labels.len() < needed {
            self.labels.resize(needed, 0);
        }
        match between(before, behind) {
            Some(label) => self.labels[seat as usize] = label,
            None => self.spread(),
        }
    }

    /// Takes the seat of `id` away.
    pub fn remove(&mut self, id: &str) -> Option<u32> {
        self.seats.remove(id)
    }

    fn spread(&mut self) {
        let step = u64::MAX / (self.seats.len() as u64 + 1);
        let mut label = 0;
        for seat in self.seats.values() {
            label += step;
            self.labels[*seat as usize] = label;
        }
    }
}

/// A label between two neighbours; `None` when there is no room.
fn between(before: Option<u64>, behind: Option<u64>) -> Option<u64> {
    match (before, behind) {
        (None, None) => Some(u64::MAX / 2),
        (Some(before), None) => before.checked_add(GAP),
        (None, Some(behind)) => behind.checked_sub(GAP),
        (Some(before), Some(behind)) => {
            let room = behind - before;
            (room > 1).then(|| before + GAP.min(room / 2))
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
