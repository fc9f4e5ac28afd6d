//! Label selectors: what is read is printed so that it is read again the same, and the schema accepts it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mesh_api::schema;
use mesh_api::selector::Selector;
use regex::Regex;

static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let schema = schema::of_input::<Selector>();
    Regex::new(schema["pattern"].as_str().expect("a pattern")).expect("a regular expression")
});

fuzz_target!(|text: &str| {
    let Ok(selector) = text.parse::<Selector>() else { return };
    let printed = selector.to_string();
    assert_eq!(printed.parse::<Selector>().as_ref(), Ok(&selector), "printed as {printed:?}");
    assert!(PATTERN.is_match(text), "the schema refuses {text:?}");
});
