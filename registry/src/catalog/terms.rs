//! The texts of one field (names, tags, categories, descriptions): found exactly, and by likeness. Pure.
//!
//! Likeness is what [`Needle`] says it is; this room only spares it most of the texts. A text that contains the needle
//! has a word that contains the needle's longest word, and a mistyped one has a word, or is as a whole, within a typo
//! or two. So the words are indexed too, each with the texts that have it, and [`super::shapes`] passes over those that
//! cannot match. What is left is asked for its score by the same rule as ever.

use roaring::RoaringBitmap;

use super::fuzzy::{Field, Needle, Score};
use super::interned::{Entry, Interned};
use super::posting::Posting;
use super::shapes::Shape;

/// The texts of one field.
#[derive(Debug, Default)]
pub struct Terms {
    texts: Interned,
    /// The words of the texts; their members are numbers of texts.
    words: Interned,
}

impl Terms {
    /// How many different texts there are.
    pub fn count(&self) -> usize {
        self.texts.count()
    }

    /// Who has exactly `text`; `None` when nobody does.
    pub fn exactly(&self, text: &str) -> Option<&Posting> {
        self.texts.members(text)
    }

    /// Every text with those who have it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Posting)> {
        self.texts.iter()
    }

    /// `member` has `text`.
    pub fn add(&mut self, text: &str, member: u32) {
        if let Some(number) = self.texts.add(text, member) {
            for word in words(&text.to_lowercase()) {
                self.words.add(word, number);
            }
        }
    }

    /// `member` does not have `text` any more.
    pub fn remove(&mut self, text: &str, member: u32) {
        if let Some(number) = self.texts.remove(text, member) {
            for word in words(&text.to_lowercase()) {
                self.words.remove(word, number);
            }
        }
    }

    /// Adds to `found` whoever has a text like `needle`, with the score of that text.
    pub fn like<'t>(&'t self, needle: &Needle, field: Field, found: &mut Vec<(Score, &'t Posting)>) {
        if needle.is_anything() {
            let everybody = self.texts.numbers().filter_map(|number| self.texts.entry(number));
            found.extend(everybody.map(|entry| (Score::BEST, entry.members())));
            return;
        }
        let mut candidates = self.containing(needle.longest_word());
        self.join_mistyped(needle, field, &mut candidates);
        let entries = candidates.iter().filter_map(|number| self.texts.entry(number));
        let scored = entries
            .filter_map(|entry| Some((needle.likeness_of_folded(field, entry.folded())?, entry.members())));
        found.extend(scored);
    }

    /// Everybody who has a text that contains `text`, which is folded.
    pub fn with(&self, text: &str) -> RoaringBitmap {
        let mut members = RoaringBitmap::new();
        let longest = words(text).max_by_key(|word| word.len()).unwrap_or_default();
        let candidates = self.containing(longest);
        let entries = candidates.iter().filter_map(|number| self.texts.entry(number));
        entries
            .filter(|entry| entry.folded().contains(text))
            .for_each(|entry| entry.members().join(&mut members));
        members
    }

    /// Numbers of the texts that have a word which contains `part`; of all texts when there is no such part.
    fn containing(&self, part: &str) -> RoaringBitmap {
        if part.is_empty() {
            return self.texts.numbers().collect();
        }
        let words =
            self.words.shapes().containing(Shape::of(part)).filter_map(|number| self.words.entry(number));
        join(words.filter(|word| word.folded().contains(part)))
    }

    fn join_mistyped(&self, needle: &Needle, field: Field, candidates: &mut RoaringBitmap) {
        let (typos, shape) = (needle.forgiven(), Shape::of(needle.text()));
        if typos == 0 {
            return;
        }
        let words = self.words.shapes().near(shape, typos).filter_map(|number| self.words.entry(number));
        *candidates |= join(words.filter(|word| needle.typos(word.folded()).is_some()));
        // A mistyped text is near as a whole, unless it is prose.
        if !matches!(field, Field::Description) {
            candidates.extend(self.texts.shapes().near(shape, typos));
        }
    }
}

fn join<'e>(entries: impl Iterator<Item = &'e Entry>) -> RoaringBitmap {
    let mut members = RoaringBitmap::new();
    entries.for_each(|entry| entry.members().join(&mut members));
    members
}

/// The words of a folded text.
pub fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const FIELDS: [Field; 4] = [Field::Description, Field::Category, Field::Tag, Field::Name];

    fn indexed(texts: &[String]) -> Terms {
        let mut terms = Terms::default();
        texts.iter().zip(0..).for_each(|(text, member)| terms.add(text, member));
        terms
    }

    /// The score of everybody, by the index.
    fn scores(terms: &Terms, needle: &Needle, field: Field) -> BTreeMap<u32, Score> {
        let mut found = Vec::new();
        terms.like(needle, field, &mut found);
        let members = found
            .iter()
            .flat_map(|(score, members)| members.to_bitmap().into_iter().map(|one| (one, *score)));
        members.collect()
    }

    proptest! {
        #[test]
        fn the_index_finds_what_asking_every_text_finds(
            texts in prop::collection::vec("([abB_ -]|ab|data|Lo){0,5}", 0..12), typed in "([ab_-]|ab|dat|dtaa|lo){1,5}"
        ) {
            let (terms, needle) = (indexed(&texts), Needle::new(&typed));
            for field in FIELDS {
                let asked = texts.iter().zip(0..).filter_map(|(text, member)| Some((member, needle.likeness(field, text)?)));
                prop_assert_eq!(scores(&terms, &needle, field), asked.collect());
            }
            let folded = typed.to_lowercase();
            let asked = texts.iter().zip(0..).filter(|(text, _)| text.to_lowercase().contains(&folded));
            prop_assert!(terms.with(&folded).iter().eq(asked.map(|(_, member)| member)));
        }

        #[test]
        fn what_is_removed_leaves_nothing_behind(texts in prop::collection::vec("[ab_]{0,4}", 0..12)) {
            let mut terms = indexed(&texts);
            texts.iter().zip(0..).for_each(|(text, member)| terms.remove(text, member));
            prop_assert_eq!((terms.count(), terms.words.count()), (0, 0));
            prop_assert_eq!(scores(&terms, &Needle::new("*"), Field::Name).len(), 0);
        }
    }
}
