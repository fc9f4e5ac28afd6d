//! Kubernetes label selectors: parser, printer and what they match.
//!
//! Grammar: requirements joined by commas, all of which must hold. A requirement is `key=value`, `key==value`,
//! `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key` or `!key`. As in Kubernetes, `!=` and `notin` also match
//! objects that lack the key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::label;

/// A Kubernetes label selector: `env=production,zone in (a,b),!canary`. The prefix of a key has at most 253 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = PATTERN))]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// What is a selector, as a regular expression: requirements with commas between them, or none.
const PATTERN: &str = r"^[ \t]*((![ \t]*([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?([ \t]*(==?|!=)[ \t]*([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?|[ \t]+(not)?in[ \t]*\([ \t]*([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?[ \t]*(,[ \t]*([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?[ \t]*)*\))?)[ \t]*(,[ \t]*(![ \t]*([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?([ \t]*(==?|!=)[ \t]*([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?|[ \t]+(not)?in[ \t]*\([ \t]*([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?[ \t]*(,[ \t]*([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?[ \t]*)*\))?)[ \t]*)*)?$";

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// The key is there.
    Exists(String),
    /// The key is not there.
    Absent(String),
    /// The key is there and has one of these values.
    In(String, BTreeSet<String>),
    /// The key is not there or has none of these values.
    NotIn(String, BTreeSet<String>),
}

/// Why a text is not a label selector, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid label selector at position {position}: {problem}; write env=production, zone in (a,b) or !canary"
)]
pub struct InvalidSelector {
    /// Characters before the fault.
    pub position: usize,
    /// What was expected there.
    pub problem: String,
}

// === impl Selector ===

impl Selector {
    /// Whether all requirements hold for `labels`.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// The requirements, in the order written.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let mut parser = Parser { text, at: 0 };
        let mut requirements = Vec::new();
        parser.skip_space();
        while !parser.rest().is_empty() {
            requirements.push(parser.requirement()?);
            parser.skip_space();
            if parser.rest().is_empty() {
                break;
            }
            parser.expect(',')?;
            parser.skip_space();
            if parser.rest().is_empty() {
                return Err(parser.fault("a requirement must follow the comma"));
            }
        }
        Ok(Self { requirements })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Selector {
    type Error = InvalidSelector;

    fn try_from(text: String) -> Result<Self, InvalidSelector> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

// === impl Requirement ===

impl Requirement {
    /// Whether this requirement holds for `labels`.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed =
            |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match self {
            Self::Exists(key) => f.write_str(key),
            Self::Absent(key) => write!(f, "!{key}"),
            Self::In(key, values) if values.len() == 1 => write!(f, "{key}={}", listed(values)),
            Self::NotIn(key, values) if values.len() == 1 => write!(f, "{key}!={}", listed(values)),
            Self::In(key, values) => write!(f, "{key} in ({})", listed(values)),
            Self::NotIn(key, values) => write!(f, "{key} notin ({})", listed(values)),
        }
    }
}

/// Reads a selector from left to right; `at` is a byte offset that only ever stands on a character boundary.
struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn requirement(&mut self) -> Result<Requirement, InvalidSelector> {
        if self.take("!") {
            self.skip_space();
            return Ok(Requirement::Absent(self.key()?));
        }
        let key = self.key()?;
        self.skip_space();
        if self.take("!=") {
            return Ok(Requirement::NotIn(key, BTreeSet::from([self.value()?])));
        }
        if self.take("==") || self.take("=") {
            return Ok(Requirement::In(key, BTreeSet::from([self.value()?])));
        }
        match self.rest() {
            rest if rest.is_empty() || rest.starts_with(',') => Ok(Requirement::Exists(key)),
            _ if self.take_word("notin") => Ok(Requirement::NotIn(key, self.values()?)),
            _ if self.take_word("in") => Ok(Requirement::In(key, self.values()?)),
            _ => Err(self.fault("expected '=', '==', '!=', 'in', 'notin' or ','")),
        }
    }

    fn key(&mut self) -> Result<String, InvalidSelector> {
        let start = self.at;
        let key = self.token();
        if label::is_key(key) {
            Ok(key.to_owned())
        } else {
            Err(fault(start, format!("expected {}", label::KEY_RULE)))
        }
    }

    fn value(&mut self) -> Result<String, InvalidSelector> {
        self.skip_space();
        let start = self.at;
        let value = self.token();
        if label::is_value(value) {
            Ok(value.to_owned())
        } else {
            Err(fault(start, format!("expected {}", label::VALUE_RULE)))
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, InvalidSelector> {
        self.skip_space();
        self.expect('(')?;
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            self.skip_space();
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.fault("expected ',' or ')'"));
            }
        }
    }

    fn token(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find([' ', '\t', ',', '=', '!', '(', ')']).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn take(&mut self, expected: &str) -> bool {
        let there = self.rest().starts_with(expected);
        if there {
            self.at += expected.len();
        }
        there
    }

    /// Takes `word` only where it ends: `in(`, `in (`, not `inner`.
    fn take_word(&mut self, word: &str) -> bool {
        let after = self.rest().strip_prefix(word);
        after.is_some_and(|after| after.starts_with([' ', '\t', '('])) && self.take(word)
    }

    fn expect(&mut self, expected: char) -> Result<(), InvalidSelector> {
        if self.take(expected.encode_utf8(&mut [0; 4])) {
            Ok(())
        } else {
            Err(self.fault(format!("expected '{expected}'")))
        }
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn fault(&self, problem: impl Into<String>) -> InvalidSelector {
        fault(self.at, problem)
    }
}

fn fault(position: usize, problem: impl Into<String>) -> InvalidSelector {
    InvalidSelector { position, problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn matches(selector: &str) -> bool {
        let agent = labels(&[("env", "production"), ("team", "data"), ("app.io/tier", "")]);
        selector.parse::<Selector>().unwrap().matches(&agent)
    }

    #[test]
    fn every_operator_of_the_grammar_is_understood() {
        for selector in [
            "",
            "env=production",
            "env==production,team=data",
            "env != staging",
            "team in (data, web)",
            "team notin (web)",
            "env",
            "!canary",
            "zone!=a",
            "zone notin (a,b)",
            "app.io/tier=",
            " env = production ",
        ] {
            assert!(matches(selector), "{selector}");
        }
        for selector in ["env=staging", "env,canary", "!env", "team notin (data)", "zone in (a)", "zone"] {
            assert!(!matches(selector), "{selector}");
        }
    }

    #[test]
    fn a_fault_is_reported_with_its_position() {
        for (selector, position) in [
            ("env=production,", 15),
            ("=production", 0),
            ("env in production", 7),
            ("env in (a", 9),
            ("a=b c", 4),
            ("env=ä", 4),
        ] {
            let fault = selector.parse::<Selector>().unwrap_err();
            assert_eq!(fault.position, position, "{selector}: {fault}");
            assert!(fault.to_string().starts_with("Invalid label selector"));
        }
    }

    #[test]
    fn a_list_that_does_not_end_lacks_its_bracket() {
        for selector in ["a in (", "a in (b", "a notin (b c)"] {
            let fault = selector.parse::<Selector>().unwrap_err();
            assert_eq!(fault.problem, "expected ',' or ')'", "{selector}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(
            text in "(!?[a-c]{1,3}|[a-c]{1,3}(=|==|!=)[a-c]{0,3}|[a-c]{1,3} (in|notin) \\([a-c]{1,3}(,[a-c]{1,3}){0,3}\\)){1}"
        ) {
            let selector: Selector = text.parse().unwrap();
            prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = text.parse::<Selector>();
        }
    }
}
