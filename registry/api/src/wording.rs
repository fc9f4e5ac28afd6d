//! How values from outside are told of in words: shortened, named, and with the word that was meant.

use std::borrow::Cow;

use serde_json::Value;

/// Typo distance up to which another word is offered as the one that was meant.
const NEAR_ENOUGH: usize = 3;

/// The candidate that `word` was most likely meant to be.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let length = word.chars().count();
    let near = length.div_ceil(2).min(NEAR_ENOUGH);
    let measured = |candidate: &'c str| {
        let is_part = word.len() > 2 && candidate.contains(word);
        // The lengths alone rule out most, and every word that is too long to be measured in reasonable time.
        let may_be_near = candidate.chars().count().abs_diff(length) <= near;
        let distance = (is_part || may_be_near).then(|| strsim::damerau_levenshtein(word, candidate))?;
        (is_part || distance <= near).then_some((distance, candidate))
    };
    candidates.filter_map(measured).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// What a JSON value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value from outside, quoted and cut to a length that fits into one line of an error.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// A name or a path from outside, whole unless it is longer than any of a document that is accepted.
pub fn cut(text: &str) -> Cow<'_, str> {
    /// In characters: the longest label key (317) and the names of the fields above it, with some room.
    const SHOWN: usize = 400;
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]).into(),
        None => text.into(),
    }
}
