//! Conditions that must hold together, solved by intersecting the smallest list first. Pure.

use std::collections::BTreeSet;
use std::ops::Range;

use mesh_api::selector::{Requirement, Selector};
use roaring::RoaringBitmap;

use super::index::Whole;
use super::posting::Posting;

/// Conditions on seats or on rows.
#[derive(Debug, Default)]
pub struct Conditions<'i> {
    must: Vec<Set<'i>>,
    must_not: Vec<Set<'i>>,
}

/// Numbers that meet one condition.
#[derive(Debug)]
enum Set<'i> {
    Posting(&'i Posting),
    Bitmap(&'i RoaringBitmap),
    Own(RoaringBitmap),
}

/// In place of a list that does not exist.
static NOBODY: Posting = Posting::None;

impl<'i> Conditions<'i> {
    /// They must be in this list; without one, nobody is.
    pub fn in_list(&mut self, list: Option<&'i Posting>) {
        self.must.push(Set::Posting(list.unwrap_or(&NOBODY)));
    }

    /// They must be in this set; without one, nobody is.
    pub fn in_set(&mut self, set: Option<&'i RoaringBitmap>) {
        self.must.push(set.map_or(Set::Posting(&NOBODY), Set::Bitmap));
    }

    /// They must be in one of these lists.
    pub fn in_any_list(&mut self, mut lists: impl Iterator<Item = &'i Posting>) {
        match (lists.next(), lists.next()) {
            (one, None) => self.in_list(one),
            (one, two) => {
                let mut union = RoaringBitmap::new();
                one.into_iter().chain(two).chain(lists).for_each(|list| list.join(&mut union));
                self.in_own(union);
            }
        }
    }

    /// They must be in one of these sets.
    pub fn in_any_set(&mut self, mut sets: impl Iterator<Item = &'i RoaringBitmap>) {
        match (sets.next(), sets.next()) {
            (one, None) => self.in_set(one),
            (one, two) => {
                let mut union = RoaringBitmap::new();
                one.into_iter().chain(two).chain(sets).for_each(|set| union |= set);
                self.in_own(union);
            }
        }
    }

    /// They must be in this set.
    pub fn in_own(&mut self, set: RoaringBitmap) {
        self.must.push(Set::Own(set));
    }

    /// They must be among these numbers; without any, nobody is.
    pub fn in_range(&mut self, numbers: Option<Range<u32>>) {
        let mut set = RoaringBitmap::new();
        set.insert_range(numbers.unwrap_or_default());
        self.in_own(set);
    }

    /// They must not be in this set.
    pub fn not_in_set(&mut self, set: Option<&'i RoaringBitmap>) {
        self.must_not.extend(set.map(Set::Bitmap));
    }

    /// Their agent's labels must be what the selector says.
    pub fn labelled(&mut self, selector: &Selector, whole: &'i Whole) {
        for requirement in selector.requirements() {
            let with = |key: &str| whole.labels.get(key);
            let any_of = |key: &str, values: &BTreeSet<String>| {
                let lists = values.iter().filter_map(|value| with(key)?.values.get(value));
                lists.collect::<Vec<_>>().into_iter()
            };
            match requirement {
                Requirement::Exists(key) => self.in_set(with(key).map(|label| &label.all)),
                Requirement::Absent(key) => self.not_in_set(with(key).map(|label| &label.all)),
                Requirement::In(key, values) => self.in_any_list(any_of(key, values)),
                Requirement::NotIn(key, values) => {
                    self.must_not.extend(any_of(key, values).map(Set::Posting))
                }
            }
        }
    }

    /// Whether there are any.
    pub fn are_any(&self) -> bool {
        !self.must.is_empty() || !self.must_not.is_empty()
    }

    /// The numbers for which all conditions hold; `all` are those that there are.
    pub fn solve(mut self, all: &RoaringBitmap) -> RoaringBitmap {
        self.must.sort_by_key(Set::len);
        let mut rest = self.must.into_iter();
        let mut solution = rest.next().map_or_else(|| all.clone(), Set::into_bitmap);
        for set in rest {
            if solution.is_empty() {
                return solution;
            }
            set.intersect(&mut solution);
        }
        self.must_not.iter().for_each(|set| set.subtract(&mut solution));
        solution
    }
}

// === impl Set ===

impl Set<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Posting(posting) => posting.len(),
            Self::Bitmap(set) => set.len(),
            Self::Own(set) => set.len(),
        }
    }

    fn intersect(&self, numbers: &mut RoaringBitmap) {
        match self {
            Self::Posting(posting) => posting.intersect(numbers),
            Self::Bitmap(set) => *numbers &= *set,
            Self::Own(set) => *numbers &= set,
        }
    }

    fn subtract(&self, numbers: &mut RoaringBitmap) {
        match self {
            Self::Posting(posting) => posting.subtract(numbers),
            Self::Bitmap(set) => *numbers -= *set,
            Self::Own(set) => *numbers -= set,
        }
    }

    fn into_bitmap(self) -> RoaringBitmap {
        match self {
            Self::Posting(posting) => posting.to_bitmap(),
            Self::Bitmap(set) => set.clone(),
            Self::Own(set) => set,
        }
    }
}
