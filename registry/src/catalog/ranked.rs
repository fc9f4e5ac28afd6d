//! Sets of numbers by score, best first, each number once. Pure.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;

use super::fuzzy::Score;
use super::posting::Posting;

/// Numbers by score, best first, each with the best score that it has.
#[derive(Debug, Default)]
pub struct Ranked {
    groups: Vec<(Score, RoaringBitmap)>,
}

impl Ranked {
    /// All of `set` with one score.
    pub fn of_set(score: Score, set: RoaringBitmap) -> Self {
        Self { groups: vec![(score, set)] }
    }

    /// Ranks lists, in which numbers may be more than once.
    pub fn of_lists(mut lists: Vec<(Score, &Posting)>) -> Self {
        lists.sort_unstable_by_key(|(score, _)| std::cmp::Reverse(*score));
        let (mut seen, mut groups) = (RoaringBitmap::new(), Vec::<(Score, RoaringBitmap)>::new());
        for equal in lists.chunk_by(|(a, _), (b, _)| a == b) {
            let mut group = RoaringBitmap::new();
            equal.iter().for_each(|(_, list)| list.join(&mut group));
            group -= &seen;
            seen |= &group;
            groups.extend(equal.first().map(|(score, _)| (*score, group)));
        }
        Self { groups }
    }

    /// Ranks numbers, which may be more than once.
    pub fn of_numbers(numbers: impl Iterator<Item = (Score, u32)>) -> Self {
        let mut best = HashMap::<u32, Score>::new();
        for (score, number) in numbers {
            let known = best.entry(number).or_insert(score);
            *known = score.max(*known);
        }
        let mut groups = BTreeMap::<Score, RoaringBitmap>::new();
        for (number, score) in best {
            groups.entry(score).or_default().insert(number);
        }
        Self { groups: groups.into_iter().rev().collect() }
    }

    /// Those that are in all of `rankings`, with the mean of their scores.
    pub fn mean(mut rankings: Vec<Self>) -> Self {
        if rankings.len() == 1 {
            return rankings.pop().unwrap_or_default();
        }
        let scores =
            rankings.iter().map(|ranking| ranking.scores().collect::<HashMap<_, _>>()).collect::<Vec<_>>();
        let Some((first, others)) = scores.split_first() else { return Self::default() };
        let in_all = first.iter().filter_map(|(number, score)| {
            let others = others.iter().map(|scores| scores.get(number).copied());
            let all = std::iter::once(Some(*score)).chain(others).collect::<Option<Vec<_>>>()?;
            Some((Score::mean(&all), *number))
        });
        Self::of_numbers(in_all)
    }

    /// Changes every group in place.
    pub fn restrict(&mut self, mut restrict: impl FnMut(&mut RoaringBitmap)) {
        self.groups.iter_mut().for_each(|(_, group)| restrict(group));
    }

    /// Every number and its score, best first.
    pub fn scores(&self) -> impl Iterator<Item = (u32, Score)> {
        self.groups.iter().flat_map(|(score, group)| group.iter().map(|number| (number, *score)))
    }

    /// The groups, best first.
    pub fn into_groups(self) -> Vec<(Score, RoaringBitmap)> {
        self.groups
    }
}
