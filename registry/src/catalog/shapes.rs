//! A dictionary in which words are found by what is in them and by what they were mistyped as. Pure.
//!
//! Every entry has a signature: one bit for each character that occurs in it. A word that contains `w` has all bits of
//! `w`; a word within `k` typos of `w` differs from it in at most `2 k` bits, because a typo removes one character and
//! brings one in at most, and swapping two changes nothing. One pass over signatures that lie side by side (a
//! nanosecond each) leaves few words to be looked at, whatever the words are.

/// Bits of the signature for letters and digits; all other characters share the rest.
const LETTERS: u32 = 26;
const DIGITS: u32 = 10;
const OTHERS: u32 = u64::BITS - LETTERS - DIGITS;

/// What is known of an entry without looking at its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    signature: u64,
    /// In characters, as far as it matters.
    length: u16,
}

/// Shapes by entry number; an entry that is gone has none.
#[derive(Debug, Default)]
pub struct Shapes {
    signatures: Vec<u64>,
    lengths: Vec<u16>,
}

// === impl Shape ===

impl Shape {
    /// The shape of a text that is folded to lower case.
    pub fn of(text: &str) -> Self {
        let (mut signature, mut length) = (0, 0u16);
        for character in text.chars() {
            signature |= 1 << bit(character);
            length = length.saturating_add(1);
        }
        Self { signature, length }
    }
}

fn bit(character: char) -> u32 {
    match character {
        'a'..='z' => character as u32 - u32::from(b'a'),
        '0'..='9' => LETTERS + character as u32 - u32::from(b'0'),
        other => LETTERS + DIGITS + other as u32 % OTHERS,
    }
}

// === impl Shapes ===

impl Shapes {
    /// Sets the shape of entry `number`.
    pub fn set(&mut self, number: u32, shape: Shape) {
        let needed = number as usize + 1;
        if self.signatures.len() < needed {
            self.signatures.resize(needed, 0);
            self.lengths.resize(needed, 0);
        }
        self.signatures[number as usize] = shape.signature;
        self.lengths[number as usize] = shape.length;
    }

    /// The entry is gone.
    pub fn unset(&mut self, number: u32) {
        self.set(number, Shape::default());
    }

    /// Entries that may contain a text of shape `part`, which is not empty.
    pub fn containing(&self, part: Shape) -> impl Iterator<Item = u32> {
        let numbers = self.signatures.iter().zip(&self.lengths).zip(0..);
        numbers.filter_map(move |((signature, length), number)| {
            (part.signature & !signature == 0 && *length >= part.length).then_some(number)
        })
    }

    /// Entries that may be within `typos` of a text of this shape.
    pub fn near(&self, shape: Shape, typos: u32) -> impl Iterator<Item = u32> {
        let numbers = self.signatures.iter().zip(&self.lengths).zip(0..);
        numbers.filter_map(move |((signature, length), number)| {
            let near = (signature ^ shape.signature).count_ones() <= 2 * typos
                && u32::from(length.abs_diff(shape.length)) <= typos
                && *length > 0;
            near.then_some(number)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shapes(text: &str) -> Shapes {
        let mut shapes = Shapes::default();
        shapes.set(3, Shape::of(text));
        shapes
    }

    proptest! {
        #[test]
        fn nothing_that_matches_is_passed_over(a in "[a-d0-9_ä]{0,4}", b in "[a-d0-9_ä]{1,6}", c in "[a-d0-9_ä]{0,4}") {
            let whole = format!("{a}{b}{c}");
            prop_assert_eq!(shapes(&whole).containing(Shape::of(&b)).collect::<Vec<_>>(), [3]);
        }

        #[test]
        fn nothing_that_is_near_is_passed_over(a in "[a-d1_]{1,8}", b in "[a-d1_]{1,8}") {
            let typos = strsim::osa_distance(&a, &b) as u32;
            prop_assert_eq!(shapes(&a).near(Shape::of(&b), typos).collect::<Vec<_>>(), [3]);
        }

        #[test]
        fn what_is_gone_is_not_found(a in "[a-d]{1,8}") {
            let mut shapes = shapes(&a);
            shapes.unset(3);
            prop_assert_eq!(shapes.containing(Shape::of(&a)).count(), 0);
            prop_assert_eq!(shapes.near(Shape::of(&a), 20).count(), 0);
        }
    }
}
