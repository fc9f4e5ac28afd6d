//! Different texts by number, each kept once, with the numbers of those that have it. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::posting::Posting;
use super::shapes::{Shape, Shapes};

/// Different texts, each with its members.
#[derive(Debug, Default)]
pub struct Interned {
    numbers: HashMap<Arc<str>, u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    shapes: Shapes,
}

/// A text and who has it.
#[derive(Debug, Default)]
pub struct Entry {
    text: Arc<str>,
    /// The text in lower case, if that differs.
    folded: Option<Box<str>>,
    members: Posting,
}

impl Interned {
    /// How many different texts there are.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Who has `text`; `None` when nobody does.
    pub fn members(&self, text: &str) -> Option<&Posting> {
        self.numbers.get(text).and_then(|number| self.entry(*number)).map(Entry::members)
    }

    /// The entry of this number.
    pub fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number as usize)
    }

    /// Every text with its members.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Posting)> {
        self.numbers.iter().filter_map(|(text, number)| Some((&**text, self.entry(*number)?.members())))
    }

    /// The numbers of all entries.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.numbers.values().copied()
    }

    /// The shapes of all folded texts.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// `member` has `text`. Returns the number of the text when nobody had it before.
    pub fn add(&mut self, text: &str, member: u32) -> Option<u32> {
        if let Some(number) = self.numbers.get(text) {
            self.entries[*number as usize].members.insert(member);
            return None;
        }
        let number = self.free.pop().unwrap_or(self.entries.len() as u32);
        if number as usize == self.entries.len() {
            self.entries.push(Entry::default());
        }
        let text = Arc::<str>::from(text);
        let folded = text.to_lowercase();
        self.shapes.set(number, Shape::of(&folded));
        let folded = (*folded != *text).then(|| folded.into_boxed_str());
        self.entries[number as usize] =
            Entry { text: Arc::clone(&text), folded, members: Posting::One(member) };
        self.numbers.insert(text, number);
        Some(number)
    }

    /// `member` does not have `text` any more. Returns the number that the text had when nobody has it any more.
    pub fn remove(&mut self, text: &str, member: u32) -> Option<u32> {
        let number = *self.numbers.get(text)?;
        let entry = &mut self.entries[number as usize];
        entry.members.remove(member);
        if !entry.members.is_empty() {
            return None;
        }
        *entry = Entry::default();
        self.numbers.remove(text);
        self.shapes.unset(number);
        self.free.push(number);
        Some(number)
    }
}

// === impl Entry ===

impl Entry {
    /// The text in lower case.
    pub fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.text)
    }

    /// Who has it.
    pub fn members(&self) -> &Posting {
        &self.members
    }
}
