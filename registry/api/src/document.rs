//! Reads a JSON object field by field and collects everything that is wrong with it.
//!
//! Registration documents, manifests and configuration files all go through here, so that a person sees every fault
//! at once. A reader says what a value must be; [`Fields`] says where it was.

use serde_json::{Map, Value};

use crate::error::Fault;
pub use crate::wording::{cut, kind, nearest, quoted};

/// Most faults and most unknown keys that are told of one document: a person mends no more at once, and an answer must
/// not become many times as long as what was sent.
pub const MAX_TOLD: usize = 100;

/// What reading a document brought to light.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// What makes the document unusable.
    pub faults: Vec<Fault>,
    /// Keys that nothing reads.
    pub unknown: Vec<UnknownKey>,
}

/// A key that nothing reads, and the known key that it resembles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// Path of the key, cut when it is too long for any field.
    pub path: String,
    /// The known key that it resembles.
    pub nearest: Option<String>,
}

/// One JSON object being read.
#[derive(Debug)]
pub struct Fields<'v, 'f> {
    object: &'v Map<String, Value>,
    at: String,
    known: Vec<&'static str>,
    findings: &'f mut Findings,
}

// === impl Findings ===

impl Findings {
    /// Notes a fault, while there is room. A path that is too long for any field is cut.
    pub fn fault(&mut self, path: impl AsRef<str>, message: impl Into<String>) {
        if self.faults.len() < MAX_TOLD {
            self.faults.push(Fault::new(cut(path.as_ref()), message));
        }
    }

    /// `value` if nothing was at fault, else every fault.
    ///
    /// # Errors
    /// All faults found so far; a missing value without a fault is reported as a fault of the whole document.
    pub fn conclude<T>(self, value: Option<T>) -> Result<(T, Vec<UnknownKey>), Vec<Fault>> {
        match value {
            Some(value) if self.faults.is_empty() => Ok((value, self.unknown)),
            None if self.faults.is_empty() => Err(vec![Fault::new("", "the document cannot be read")]),
            _ => Err(self.faults),
        }
    }
}

// === impl UnknownKey ===

impl UnknownKey {
    /// The key as a fault, for documents in which an unknown key is an error.
    pub fn into_fault(self) -> Fault {
        let message = self.message();
        Fault::new(self.path, message)
    }

    /// The key as a warning, for documents in which an unknown key is accepted.
    pub fn warning(&self) -> String {
        format!("'{}' {}; it is ignored", self.path, self.message())
    }

    fn message(&self) -> String {
        match &self.nearest {
            Some(known) => format!("is not a known key: did you mean '{known}'?"),
            None => "is not a known key".to_owned(),
        }
    }
}

// === impl Fields ===

impl<'v, 'f> Fields<'v, 'f> {
    /// Opens the object `value`, which stands at path `at`.
    pub fn open(value: &'v Value, at: &str, findings: &'f mut Findings) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { object, at: at.to_owned(), known: Vec::new(), findings }),
            other => {
                findings.fault(at, format!("must be an object, got {}", kind(other)));
                None
            }
        }
    }

    /// Reads `key`, which must be there.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if matches!(self.object.get(key), None | Some(Value::Null)) {
            self.known.push(key);
            self.findings.fault(join(&self.at, key), "field is required");
            return None;
        }
        self.optional(key, read)
    }

    /// Reads `key` if it is there and not null.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key)?;
        read(value).map_err(|message| self.findings.fault(join(&self.at, key), message)).ok()
    }

    /// Reads the object or list below `key`, if it is there, with a reader that notes faults of its own.
    pub fn nested<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'v Value, &str, &mut Findings) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        read(value, &join(&self.at, key), self.findings)
    }

    /// Reads the list below `key`, if it is there: at most `max` items, each with `read`.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        max: usize,
        mut read: impl FnMut(&'v Value, &str, &mut Findings) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let at = join(&self.at, key);
        match value {
            Value::Array(items) if items.len() > max => {
                self.findings.fault(at, format!("must have at most {max} items, got {}", items.len()));
                Vec::new()
            }
            Value::Array(items) => (0..)
                .zip(items)
                .filter_map(|(i, item): (usize, _)| read(item, &format!("{at}[{i}]"), self.findings))
                .collect(),
            other => {
                self.findings.fault(at, format!("must be a list, got {}", kind(other)));
                Vec::new()
            }
        }
    }

    /// Notes a fault of `key` that shows only when several fields are seen together.
    pub fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.findings.fault(join(&self.at, key), message);
    }

    /// Notes every key that was not read, while there is room.
    pub fn close(self) {
        let room = MAX_TOLD.saturating_sub(self.findings.unknown.len());
        for key in self.object.keys().filter(|key| !self.known.contains(&key.as_str())).take(room) {
            let nearest = nearest(key, self.known.iter().copied()).map(str::to_owned);
            self.findings.unknown.push(UnknownKey { path: cut(&join(&self.at, key)).into_owned(), nearest });
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'v Value> {
        self.known.push(key);
        self.object.get(key).filter(|value| !value.is_null())
    }
}

// === readers ===

/// A string of `min` to `max` characters.
pub fn text(min: usize, max: usize) -> impl Fn(&Value) -> Result<String, String> {
    move |value| {
        let text = string(value)?;
        match text.chars().count() {
            length if (min..=max).contains(&length) => Ok(text),
            length => Err(format!("must be {min} to {max} characters long, got {length}")),
        }
    }
}

/// A string that `accept` accepts; `rule` says what it accepts.
pub fn word(rule: &'static str, accept: impl Fn(&str) -> bool) -> impl Fn(&Value) -> Result<String, String> {
    move |value| {
        let text = string(value)?;
        if accept(&text) { Ok(text) } else { Err(format!("must be {rule}, got {}", quoted(&text))) }
    }
}

/// A string that `T` can be parsed from.
///
/// # Errors
/// What the value is instead, or `T`'s own words.
pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(value: &Value) -> Result<T, String> {
    string(value)?.parse().map_err(|fault: T::Err| fault.to_string())
}

/// Any string.
///
/// # Errors
/// What the value is instead.
pub fn string(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("must be a string, got {}", kind(value)))
}

/// A finite number from `min` to `max`, in `unit`.
pub fn number(min: f64, max: f64, unit: &str) -> impl Fn(&Value) -> Result<f64, String> {
    let rule = format!("must be a number from {min} to {max} {unit}").trim_end().to_owned();
    move |value| match value.as_f64() {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        Some(number) => Err(format!("{rule}, got {number}")),
        None => Err(format!("{rule}, got {}", kind(value))),
    }
}

/// `true` or `false`.
///
/// # Errors
/// What the value is instead.
pub fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, got {}", kind(value)))
}

/// Any JSON object, kept as it is.
///
/// # Errors
/// What the value is instead.
pub fn object(value: &Value) -> Result<Map<String, Value>, String> {
    value.as_object().cloned().ok_or_else(|| format!("must be an object, got {}", kind(value)))
}

/// Any JSON value, kept as it is.
///
/// # Errors
/// None; the shape is that of the other readers.
pub fn any(value: &Value) -> Result<Value, String> {
    Ok(value.clone())
}

fn join(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_found_in_one_reading() {
        let document = json!({"name": 7, "colour": "red", "sizes": [1, "two"]});
        let mut findings = Findings::default();
        let mut fields = Fields::open(&document, "", &mut findings).unwrap();
        fields.required("id", string);
        fields.optional("name", string);
        fields.optional("color", string);
        fields.list("sizes", 5, |value, at, findings| {
            number(0.0, 9.0, "")(value).map_err(|message| findings.fault(at, message)).ok()
        });
        fields.close();
        let faults = findings.faults.iter().map(Fault::to_string).collect::<Vec<_>>();
        assert_eq!(
            faults,
            [
                "'id' field is required",
                "'name' must be a string, got a number",
                "'sizes[1]' must be a number from 0 to 9, got a string",
            ]
        );
        assert_eq!(findings.unknown[0].nearest.as_deref(), Some("color"));
    }

    #[test]
    fn the_nearest_word_is_found_by_typo_and_by_part() {
        let known = || ["namespace", "capability_category", "id"].into_iter();
        for (word, meant) in [
            ("namspace", Some("namespace")),
            ("categ", Some("capability_category")),
            ("di", Some("id")),
            ("x", None),
            ("entirely_else", None),
        ] {
            assert_eq!(nearest(word, known()), meant, "{word}");
        }
    }

    #[test]
    fn a_word_as_long_as_a_document_is_not_measured() {
        let started = std::time::Instant::now();
        assert_eq!(nearest(&"x".repeat(1_000_000), ["namespace", "labels"].into_iter()), None);
        assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    }

    #[test]
    fn of_very_many_faults_and_keys_the_first_are_told() {
        let document = (0..10_000).map(|i| (format!("key{i}"), Value::from(i))).collect::<Map<_, _>>();
        let document = json!({"items": vec![0; 10_000], "more": document});
        let mut findings = Findings::default();
        let mut fields = Fields::open(&document, "", &mut findings).unwrap();
        fields.list("items", 10_000, |_, at, findings| {
            findings.fault(at, "must not be");
            None::<()>
        });
        fields.nested("more", |value, at, findings| {
            Fields::open(value, at, findings).unwrap().close();
            None::<()>
        });
        assert_eq!((findings.faults.len(), findings.unknown.len()), (MAX_TOLD, MAX_TOLD));
        assert_eq!(findings.faults[99].path, "items[99]");
    }

    #[test]
    fn a_long_value_is_cut_in_the_message() {
        assert!(quoted(&"ä".repeat(500)).chars().count() < 100);
    }

    #[test]
    fn a_key_is_told_whole_unless_it_is_longer_than_any_that_is_accepted() {
        let lawful = "k".repeat(317);
        let document = json!({"labels": {(lawful.clone()): 1, "ä".repeat(30_000): 1}});
        let mut findings = Findings::default();
        let mut fields = Fields::open(&document, "", &mut findings).unwrap();
        fields.nested("labels", |value, at, findings| {
            for key in value.as_object().unwrap().keys() {
                findings.fault(format!("{at}.{key}"), "must not be");
            }
            Fields::open(value, at, findings).unwrap().close();
            None::<()>
        });
        assert_eq!(findings.faults[0].path, format!("labels.{lawful}"));
        assert_eq!(findings.unknown[0].path, format!("labels.{lawful}"));
        let lengths = [&findings.faults[1].path, &findings.unknown[1].path].map(|path| path.chars().count());
        assert_eq!(lengths, [401, 401]);
        assert!(findings.unknown[1].warning().len() < 1_000);
    }
}
