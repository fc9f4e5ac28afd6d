//! Version constraints: what is read is printed so that it is read again the same, and the schema accepts it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mesh_api::schema;
use mesh_api::version::{VersionConstraint, parse_version};
use regex::Regex;
use semver::Version;

/// More digits than these are read, as long as the number fits 64 bits, and not recommended by the schema.
const DIGITS: usize = 19;

static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let schema = schema::of_input::<VersionConstraint>();
    Regex::new(schema["pattern"].as_str().expect("a pattern")).expect("a regular expression")
});

fuzz_target!(|text: &str| {
    let _ = parse_version(text);
    let Ok(constraint) = text.parse::<VersionConstraint>() else { return };
    constraint.matches(&Version::new(1, 2, 3));
    let printed = constraint.to_string();
    assert_eq!(printed.parse::<VersionConstraint>().as_ref(), Ok(&constraint), "printed as {printed:?}");
    let is_long = text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > DIGITS);
    assert!(is_long || PATTERN.is_match(text), "the schema refuses {text:?}");
});
