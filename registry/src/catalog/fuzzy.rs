//! How much a text is like what somebody typed. Pure.
//!
//! Likeness has four kinds, exact > prefix > substring > typo, and the kind decides first. Within a kind a name
//! counts more than a tag, a tag more than a category, a category more than a description; then the more of the
//! text was typed, the better. Case never matters and `*` is like everything.

use mesh_api::capability::Capability;
use rapidfuzz::distance::osa::BatchComparator;

/// Likeness in ten-thousandths, 1 to 10,000; whole numbers, so that pages can be continued at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u16);

/// What somebody typed.
pub struct Needle {
    /// Folded to lower case; empty for `*`.
    text: String,
    characters: usize,
    /// Counts typos between it and many others, a few dozen nanoseconds each.
    typos: Box<BatchComparator<char>>,
}

/// Where a text stands, least first. The position counts within a kind of likeness.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    /// Prose, in which only whole words can be mistyped.
    Description,
    /// The group of a capability.
    Category,
    /// One of its tags.
    Tag,
    /// A name.
    Name,
}

/// Matches everything.
const ANYTHING: &str = "*";
/// Shortest word in which one typo is forgiven, in characters.
const ONE_TYPO: usize = 4;
/// Shortest word in which two typos are forgiven.
const TWO_TYPOS: usize = 8;
/// Room between two kinds, and within a kind between two fields, in ten-thousandths.
const KIND: u16 = 2_500;
const FIELD: u16 = 600;
/// Room for the share of the text that was typed.
const SHARE: u16 = FIELD - 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Typo,
    Substring,
    Prefix,
    Exact,
}

// === impl Score ===

impl Score {
    /// Not to be surpassed.
    pub const BEST: Self = Self(10_000);

    /// A score from its ten-thousandths, if it is one.
    pub fn from_parts(parts: u16) -> Option<Self> {
        (1..=Self::BEST.0).contains(&parts).then_some(Self(parts))
    }

    /// The ten-thousandths.
    pub fn parts(self) -> u16 {
        self.0
    }

    /// The score as it is answered, 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::BEST.0)
    }

    /// The mean of several scores; the best one of none.
    pub fn mean(scores: &[Self]) -> Self {
        let sum: usize = scores.iter().map(|score| usize::from(score.0)).sum();
        match u16::try_from(sum / scores.len().max(1)) {
            Ok(mean) if !scores.is_empty() => Self(mean),
            _ => Self::BEST,
        }
    }

    /// The last field of the last kind, typed in full, is the best score.
    fn of(kind: Kind, field: Field, share: f64) -> Self {
        if kind == Kind::Exact && matches!(field, Field::Name) {
            return Self::BEST;
        }
        let share = (share.clamp(0.0, 1.0) * f64::from(SHARE)) as u16;
        Self(kind as u16 * KIND + field as u16 * FIELD + share + 1)
    }
}

// === impl Needle ===

impl Needle {
    /// Prepares what somebody typed.
    pub fn new(typed: &str) -> Self {
        let text = if typed == ANYTHING { String::new() } else { typed.to_lowercase() };
        Self { characters: text.chars().count(), typos: Box::new(BatchComparator::new(text.chars())), text }
    }

    /// Whether it is like everything.
    pub fn is_anything(&self) -> bool {
        self.text.is_empty()
    }

    /// What was typed, in lower case.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The longest run of letters and digits in it.
    pub fn longest_word(&self) -> &str {
        let words = self.text.split(|c: char| !c.is_alphanumeric());
        words.max_by_key(|word| word.len()).unwrap_or_default()
    }

    /// How many typos are forgiven.
    pub fn forgiven(&self) -> u32 {
        match self.characters {
            TWO_TYPOS.. => 2,
            ONE_TYPO.. => 1,
            _ => 0,
        }
    }

    /// How much `text` is like it; `None` when it is not.
    pub fn likeness(&self, field: Field, text: &str) -> Option<Score> {
        self.likeness_of_folded(field, &text.to_lowercase())
    }

    /// How much a text in lower case is like it.
    pub fn likeness_of_folded(&self, field: Field, text: &str) -> Option<Score> {
        if self.is_anything() {
            return Some(Score::BEST);
        }
        let share = self.characters as f64 / text.chars().count().max(1) as f64;
        let kind = match text.find(&self.text) {
            Some(0) if text.len() == self.text.len() => Kind::Exact,
            Some(0) => Kind::Prefix,
            Some(_) => Kind::Substring,
            None => return self.mistyped(field, text),
        };
        Some(Score::of(kind, field, share))
    }

    /// How much a capability is like it, in any of its fields.
    pub fn likeness_of(&self, capability: &Capability) -> Option<Score> {
        let tags = capability.tags.iter().map(|tag| self.likeness(Field::Tag, tag));
        let category = capability.category.as_ref().map(|text| self.likeness(Field::Category, text));
        let description = capability.description.as_ref().map(|text| self.likeness(Field::Description, text));
        let name = self.likeness(Field::Name, &capability.name);
        tags.chain(category).chain(description).chain([name]).flatten().max()
    }

    /// The whole text (unless it is prose) or one of its words, with a typo or two.
    fn mistyped(&self, field: Field, text: &str) -> Option<Score> {
        let words = text.split(|c: char| !c.is_alphanumeric());
        let whole = (!matches!(field, Field::Description)).then_some(text);
        let typos = words.chain(whole).filter_map(|word| self.typos(word)).min()?;
        Some(Score::of(Kind::Typo, field, 1.0 / (1.0 + typos as f64)))
    }

    /// How many typos lie between it and `word`; `None` when they are too many.
    pub fn typos(&self, word: &str) -> Option<usize> {
        let forgiven = self.forgiven() as usize;
        let near = forgiven > 0 && word.chars().count().abs_diff(self.characters) <= forgiven;
        let typos = near.then(|| self.typos.distance(word.chars()))?;
        (typos <= forgiven).then_some(typos)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn capability(value: serde_json::Value) -> Capability {
        Capability::read(&value, "", &mut mesh_api::document::Findings::default()).unwrap()
    }

    fn in_name(typed: &str, name: &str) -> Option<Score> {
        Needle::new(typed).likeness(Field::Name, name)
    }

    #[test]
    fn exact_beats_prefix_beats_substring_beats_typo() {
        let scores = ["process", "process_data", "reprocess", "porcess"].map(|name| in_name("process", name));
        assert!(scores.is_sorted_by(|a, b| a > b) && scores[3].is_some(), "{scores:?}");
        assert_eq!(scores[0], Some(Score::BEST));
    }

    #[test]
    fn the_kind_counts_before_the_field_and_then_the_name_first() {
        let needle = Needle::new("data");
        let by_field = [
            json!({"name": "data"}),
            json!({"name": "x", "tags": ["data"]}),
            json!({"name": "x", "category": "data"}),
            json!({"name": "data_load"}),
            json!({"name": "x", "tags": ["data_load"]}),
            json!({"name": "load_data"}),
            json!({"name": "x", "description": "loads data"}),
        ]
        .map(|value| needle.likeness_of(&capability(value)));
        assert!(by_field.is_sorted_by(|a, b| a > b), "{by_field:?}");
    }

    #[test]
    fn a_longer_word_forgives_more_typos_and_a_short_one_none() {
        assert!(in_name("sumarize", "summarize").is_some() && in_name("sumarise", "summarize").is_some());
        assert!(in_name("dara", "data_load").is_some());
        assert_eq!((in_name("ab", "ac"), in_name("weather", "translate")), (None, None));
    }

    #[test]
    fn case_does_not_matter_and_a_star_is_like_everything() {
        assert_eq!(in_name("PROCESS", "Process"), Some(Score::BEST));
        assert_eq!(in_name("*", "anything"), Some(Score::BEST));
    }

    proptest! {
        #[test]
        fn every_score_is_a_share(typed in ".{1,12}", text in ".{0,40}") {
            for field in [Field::Description, Field::Category, Field::Tag, Field::Name] {
                if let Some(score) = Needle::new(&typed).likeness(field, &text) {
                    prop_assert!(score.share() > 0.0 && score.share() <= 1.0);
                    prop_assert_eq!(Score::from_parts(score.parts()), Some(score));
                }
            }
        }

        #[test]
        fn typos_are_what_optimal_string_alignment_says(typed in "[abä_]{4,12}", word in "[abä_]{1,14}") {
            let distance = strsim::osa_distance(&typed, &word);
            let needle = Needle::new(&typed);
            let forgiven = needle.forgiven() as usize;
            prop_assert_eq!(needle.typos(&word), Some(distance).filter(|distance| *distance <= forgiven));
        }

        #[test]
        fn a_text_is_like_itself(text in "[a-z_]{1,20}") {
            prop_assert_eq!(in_name(&text, &text), Some(Score::BEST));
        }
    }
}
