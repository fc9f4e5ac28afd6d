//! The parameters of a query string, one by one: reads them, several names for one among them, and writes them.
//!
//! The two queries know which parameters there are; this room knows how each kind of value looks.

use std::fmt;
use std::str::FromStr;

use crate::capability::CapabilityFilter;
use crate::document::{MAX_TOLD, cut, nearest, quoted};
use crate::error::Fault;
use crate::health::Status;

/// Every status, in words.
pub(super) const ANY: &str = "any";

// === reading ===

/// The parameters of a query that have not been read yet.
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Parameters {
    pub(super) fn of(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { pairs, known: Vec::new(), faults: Vec::new() }
    }

    /// The one value given under any of `names`; an empty value counts as none.
    pub(super) fn text(&mut self, names: &[&'static str]) -> Option<String> {
        let mut values = self.take(names);
        let value = values.pop()?;
        if values.iter().any(|other| *other != value) {
            self.fault(names[0], "is given more than once, with different values");
        }
        Some(value).filter(|value| !value.is_empty())
    }

    /// All values given under any of `names`, each split at its commas; sorted, without repetitions.
    pub(super) fn words(&mut self, names: &[&'static str]) -> Vec<String> {
        let values = self.take(names);
        let mut words: Vec<_> = values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
        words.retain(|word| !word.is_empty());
        words.sort_unstable();
        words.dedup();
        words.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, names: &[&'static str]) -> Option<T> {
        let text = self.text(names)?;
        text.parse().map_err(|fault: T::Err| self.fault(names[0], with_value(&fault.to_string(), &text))).ok()
    }

    pub(super) fn statuses(&mut self, names: &[&'static str]) -> Option<Vec<Status>> {
        let is_given =
            self.pairs.iter().any(|(name, value)| names.contains(&name.as_str()) && !value.is_empty());
        let words = self.words(names);
        if words.is_empty() {
            if is_given {
                self.fault(names[0], "is given without a status");
            }
            return None;
        }
        let mut statuses = Vec::new();
        for word in words.iter().filter(|word| *word != ANY) {
            match word.parse() {
                Ok(status) => statuses.push(status),
                Err(fault) => self.fault(names[0], format!("{fault}, any, got {}", quoted(word))),
            }
        }
        Some(if words.iter().any(|word| word == ANY) { Vec::new() } else { statuses })
    }

    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        let Some(text) = self.text(&[name]) else { return false };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => true,
            "false" | "0" | "no" => false,
            _ => {
                self.fault(name, format!("must be true or false, got {}", quoted(&text)));
                false
            }
        }
    }

    fn take(&mut self, names: &[&'static str]) -> Vec<String> {
        self.known.extend(names);
        self.pairs
            .extract_if(.., |(name, _)| names.contains(&name.as_str()))
            .map(|(_, value)| value)
            .collect()
    }

    pub(super) fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(cut(name), message));
    }

    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Vec<Fault>> {
        // Faults that nobody would be told need not be worded.
        for (name, _) in std::mem::take(&mut self.pairs).into_iter().take(MAX_TOLD) {
            let message = match nearest(&name, self.known.iter().copied()) {
                Some(known) => format!("is not a known parameter: did you mean '{known}'?"),
                None => format!("is not a known parameter; known are {}", self.known.join(", ")),
            };
            self.fault(&name, message);
        }
        if self.faults.is_empty() { Ok(value) } else { Err(self.faults) }
    }
}

/// Says what the value was, unless the fault says so itself.
fn with_value(fault: &str, text: &str) -> String {
    let value = quoted(text);
    if fault.contains(&value) { fault.to_owned() } else { format!("{fault}, got {value}") }
}

// === writing ===

/// Writes a query string, parameters in the order given.
#[derive(Default)]
pub(super) struct Printer {
    pairs: Vec<(String, String)>,
}

impl Printer {
    pub(super) fn text(&mut self, name: &str, value: Option<&str>) {
        self.pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.text(name, value.then_some("true"));
    }

    pub(super) fn statuses(&mut self, name: &str, statuses: &[Status]) {
        let listed = statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(",");
        self.text(name, Some(listed.as_str()).filter(|listed| !listed.is_empty()));
    }

    /// All of a capability filter but its name, which the two routes call differently.
    pub(super) fn filter(&mut self, prefix: &str, filter: &CapabilityFilter) {
        self.text(&format!("{prefix}category"), filter.category.as_deref());
        self.text(&format!("{prefix}stability"), filter.stability.map(|stability| stability.as_str()));
        let tags = filter.tags.join(",");
        self.text(&format!("{prefix}tags"), Some(tags.as_str()).filter(|tags| !tags.is_empty()));
        self.text("version_constraint", filter.version.as_ref().map(ToString::to_string).as_deref());
    }

    pub(super) fn finish(self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs).finish()
    }
}
