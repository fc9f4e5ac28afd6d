//! What the tools of the mesh are called.
//!
//! A capability of our own namespace has its own name, one of another namespace `namespace__capability`. Models are given
//! names of `[A-Za-z0-9_-]`, 64 characters at most, and nothing else works everywhere; a name that does not fit, or that
//! another capability could have as well, ends with a hash of what it stands for. So a name follows from what it stands for
//! and from nothing else: not from who else is there, nor from who came first.

use xxhash_rust::xxh3::xxh3_64;

/// Between a namespace and a capability.
const BETWEEN: &str = "__";
/// Longest name.
const MAX_NAME: usize = 64;
/// Characters of the hash: 50 bits, so that of 10,000 names that need one hardly any two are alike.
const HASH: usize = 10;
const HASH_CHARACTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Finds tools.
pub const SEARCH: &str = "mesh__search_tools";
/// Calls any tool.
pub const CALL: &str = "mesh__call_tool";

/// The name of the tool that stands for `capability` of `namespace`, for an agent of the namespace `own`.
pub fn tool_name(namespace: &str, capability: &str, own: &str) -> String {
    let plain = match namespace == own {
        true => capability.to_owned(),
        false => format!("{namespace}{BETWEEN}{capability}"),
    };
    let is_ambiguous = capability.contains(BETWEEN)
        || (namespace != own && (namespace.contains(BETWEEN) || namespace.ends_with('_')))
        || capability.starts_with('_')
        || [SEARCH, CALL].contains(&plain.as_str());
    let fits = plain.len() <= MAX_NAME && plain.bytes().all(is_plain);
    if fits && !is_ambiguous {
        return plain;
    }
    let plain = plain.chars().map(|c| if c.is_ascii() && is_plain(c as u8) { c } else { '_' });
    let mut name: String = plain.take(MAX_NAME - HASH - 1).collect();
    name.push('_');
    // No name has a space in it.
    let hash = xxh3_64(format!("{namespace} {capability}").as_bytes());
    name.extend((0..HASH).map(|i| HASH_CHARACTERS[(hash >> (5 * i)) as usize % 32] as char));
    name
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn most_names_are_what_one_expects() {
        assert_eq!(tool_name("prod", "summarize", "prod"), "summarize");
        assert_eq!(tool_name("prod", "summarize", "test"), "prod__summarize");
        assert_eq!(tool_name("prod", "a.b", "prod"), "a_b_yt7hlg5dqn");
        assert_eq!(tool_name("prod", &"x".repeat(128), "prod").len(), 64);
    }

    #[test]
    fn no_two_capabilities_have_one_name() {
        let pairs = [
            ("prod", "a__b"),
            ("a", "b"),
            ("a__b", "c"),
            ("a", "b__c"),
            ("prod", "a.b"),
            ("prod", "a_b"),
            ("mesh", "search_tools"),
            ("prod", "mesh__search_tools"),
            ("a_", "b"),
            ("a", "_b"),
            ("prod", "a-b"),
        ];
        let mut names: Vec<_> =
            pairs.iter().map(|(namespace, name)| tool_name(namespace, name, "prod")).collect();
        names.extend([SEARCH.to_owned(), CALL.to_owned()]);
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "{names:?}");
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_models_are_given(namespace in "[a-z0-9_.-]{1,63}", name in "[A-Za-z][A-Za-z0-9_.-]{0,127}") {
            let tool = tool_name(&namespace, &name, "prod");
            prop_assert!(tool.len() <= MAX_NAME && tool.bytes().all(is_plain), "{}", tool);
            prop_assert_eq!(tool_name(&namespace, &name, "prod"), tool);
        }
    }
}
