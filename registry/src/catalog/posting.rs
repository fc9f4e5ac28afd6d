//! The numbers of everything that has one thing in common: one posting list of the index. Pure.
//!
//! Most values of a large fleet are either shared by many (a namespace) or had by one (a pod's name), so a list of
//! one costs no bitmap.

use std::ops::Range;

use roaring::RoaringBitmap;

/// Numbers that share something.
#[derive(Debug, Clone, Default)]
pub enum Posting {
    /// Nobody.
    #[default]
    None,
    /// Somebody.
    One(u32),
    /// Several. Boxed, so that the others stay small.
    Many(Box<RoaringBitmap>),
}

impl From<Range<u32>> for Posting {
    fn from(numbers: Range<u32>) -> Self {
        let mut this = Self::None;
        this.insert_range(numbers);
        this
    }
}

impl Posting {
    /// How many there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a number.
    pub fn insert(&mut self, number: u32) {
        match self {
            Self::None => *self = Self::One(number),
            Self::One(one) if *one == number => {}
            Self::One(one) => *self = Self::Many(Box::new([*one, number].into_iter().collect())),
            Self::Many(many) => drop(many.insert(number)),
        }
    }

    /// Adds numbers that lie side by side.
    pub fn insert_range(&mut self, numbers: Range<u32>) {
        match self {
            _ if numbers.len() == 1 => self.insert(numbers.start),
            Self::Many(many) => drop(many.insert_range(numbers)),
            few => {
                let mut all = few.to_bitmap();
                all.insert_range(numbers);
                *few = Self::Many(Box::new(all));
                few.shrink();
            }
        }
    }

    /// Takes a number away.
    pub fn remove(&mut self, number: u32) {
        match self {
            Self::None => {}
            Self::One(one) if *one == number => *self = Self::None,
            Self::One(_) => {}
            Self::Many(many) => {
                many.remove(number);
                self.shrink();
            }
        }
    }

    /// Takes numbers away that lie side by side.
    pub fn remove_range(&mut self, numbers: Range<u32>) {
        match self {
            Self::None => {}
            Self::One(one) if numbers.contains(one) => *self = Self::None,
            Self::One(_) => {}
            Self::Many(many) => {
                many.remove_range(numbers);
                self.shrink();
            }
        }
    }

    fn shrink(&mut self) {
        if let Self::Many(many) = self
            && many.len() < 2
        {
            *self = many.min().map_or(Self::None, Self::One);
        }
    }

    /// Keeps in `numbers` only those that are here too.
    pub fn intersect(&self, numbers: &mut RoaringBitmap) {
        match self {
            Self::None => numbers.clear(),
            Self::One(one) => {
                let kept = numbers.contains(*one);
                numbers.clear();
                if kept {
                    numbers.insert(*one);
                }
            }
            Self::Many(many) => *numbers &= &**many,
        }
    }

    /// Adds all to `numbers`.
    pub fn join(&self, numbers: &mut RoaringBitmap) {
        match self {
            Self::None => {}
            Self::One(one) => drop(numbers.insert(*one)),
            Self::Many(many) => *numbers |= &**many,
        }
    }

    /// Takes all away from `numbers`.
    pub fn subtract(&self, numbers: &mut RoaringBitmap) {
        match self {
            Self::None => {}
            Self::One(one) => drop(numbers.remove(*one)),
            Self::Many(many) => *numbers -= &**many,
        }
    }

    /// All of them as a set of their own.
    pub fn to_bitmap(&self) -> RoaringBitmap {
        let mut numbers = RoaringBitmap::new();
        self.join(&mut numbers);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            steps in prop::collection::vec((any::<bool>(), 0u32..6, 0u32..4), 0..40), others in prop::collection::btree_set(0u32..8, 0..8)
        ) {
            let (mut posting, mut set) = (Posting::default(), BTreeSet::new());
            for (is_insert, number, more) in steps {
                let numbers = number..number + more;
                match (is_insert, more) {
                    (true, 0) => posting.insert(number),
                    (true, _) => posting.insert_range(numbers.clone()),
                    (false, 0) => posting.remove(number),
                    (false, _) => posting.remove_range(numbers.clone()),
                }
                for number in numbers.start..numbers.end.max(number + 1) {
                    if is_insert { set.insert(number) } else { set.remove(&number) };
                }
                prop_assert_eq!(matches!(posting, Posting::Many(_)), set.len() > 1);
            }
            prop_assert_eq!((posting.len(), posting.is_empty()), (set.len() as u64, set.is_empty()));
            prop_assert!(posting.to_bitmap().iter().eq(set.iter().copied()));
            let changed = |change: fn(&Posting, &mut RoaringBitmap)| {
                let mut numbers = others.iter().copied().collect::<RoaringBitmap>();
                change(&posting, &mut numbers);
                numbers.iter().collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(changed(Posting::intersect), &others & &set);
            prop_assert_eq!(changed(Posting::join), &others | &set);
            prop_assert_eq!(changed(Posting::subtract), &others - &set);
        }
    }
}
