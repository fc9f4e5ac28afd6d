//! What a registration says about its agent in a sentence and in a version, and how a text is made to fit.

use mesh_api::agent::Registration;
use mesh_api::card;

/// Longest version of a `server.json`, in characters.
const MAX_VERSION: usize = 255;
/// The version of an agent that tells neither its own nor those of capabilities.
const NO_VERSION: &str = "0.0.0";
/// Ends a text that was cut.
const CUT: char = '…';

/// What the agent is for: its annotation, or what its only capability does, or what its capabilities are called. Never
/// empty.
pub(super) fn description(registration: &Registration) -> String {
    let annotation = registration.annotations.get(card::DESCRIPTION).cloned();
    let of_one = || match &registration.capabilities[..] {
        [only] => only.description.clone(),
        _ => None,
    };
    let said = [annotation, of_one()].into_iter().flatten().find(|text| !one_line(text).is_empty());
    said.unwrap_or_else(|| by_capabilities(registration))
}

fn by_capabilities(registration: &Registration) -> String {
    let mut names = registration.capabilities.iter().map(|each| each.name.as_str()).collect::<Vec<_>>();
    names.dedup();
    if names.is_empty() {
        format!("Agent {}", registration.id)
    } else {
        format!("Offers {}", names.join(", "))
    }
}

/// The agent's version: its annotation, if that is a version and not a range; or the highest one of a capability.
pub(super) fn version(registration: &Registration) -> String {
    let annotation = registration.annotations.get(card::VERSION).filter(|text| is_specific(text)).cloned();
    let highest =
        || registration.capabilities.iter().map(|each| &each.version).max().map(ToString::to_string);
    annotation.or_else(|| highest().filter(|text| is_specific(text))).unwrap_or_else(|| NO_VERSION.to_owned())
}

/// Whether a text is one version. The official registry refuses ranges and what changes its meaning: `^1.2`, `1.x`,
/// `latest`.
fn is_specific(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.eq_ignore_ascii_case("x");
    text.len() <= MAX_VERSION
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-'))
        && text.split('.').all(is_part)
        && !text.eq_ignore_ascii_case("latest")
}

/// A text with single spaces between its words, and nothing that is not seen.
pub(super) fn one_line(text: &str) -> String {
    let seen = text.replace(|c: char| c.is_control() || c == '\u{feff}', " ");
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text in at most `max` characters: whole, or cut behind a word unless that leaves less than half of it.
pub(super) fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let end = text.char_indices().nth(max.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let (kept, rest) = text.split_at(end);
    let whole_words =
        if rest.starts_with(char::is_whitespace) { Some(end) } else { kept.rfind(char::is_whitespace) };
    let kept = whole_words.filter(|space| *space >= end / 2).map_or(kept, |space| &kept[..space]);
    format!("{}{CUT}", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn registered(extra: Value) -> Registration {
        let mut document = json!({"id": "a", "endpoint": "http://h:1/mcp"});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Registration::from_value(&document).unwrap().0
    }

    #[test]
    fn a_description_is_the_agents_own_or_follows_from_its_capabilities() {
        let one = json!([{"name": "x", "description": "does x"}]);
        let two = json!([{"name": "x", "description": "does x"}, {"name": "y"}]);
        for (extra, expected) in [
            (json!({"annotations": {"description": "own"}, "capabilities": one}), "own"),
            (json!({"annotations": {"description": " \n"}, "capabilities": one}), "does x"),
            (json!({"capabilities": two}), "Offers x, y"),
            (json!({"capabilities": [{"name": "x", "description": ""}]}), "Offers x"),
            (json!({}), "Agent a"),
        ] {
            assert_eq!(description(&registered(extra.clone())), expected, "{extra}");
        }
    }

    #[test]
    fn a_version_is_one_and_never_a_range() {
        let capabilities = json!([{"name": "x", "version": "1.10.0"}, {"name": "y", "version": "1.9.0"}]);
        for own in [
            "^1.2", "~1", ">=1", "1.x", "1.X.3", "1.*", "*", "x", "latest", "1 - 2", "1||2", "", "v 1",
            "1..2", "1.",
        ] {
            let extra = json!({"annotations": {"version": own}, "capabilities": capabilities});
            assert_eq!(version(&registered(extra)), "1.10.0", "{own}");
        }
        for own in ["2.0.0-rc.1+build", "2024.11", "v3", "0"] {
            let extra = json!({"annotations": {"version": own}, "capabilities": capabilities});
            assert_eq!(version(&registered(extra)), own);
        }
        assert_eq!(version(&registered(json!({}))), "0.0.0");
    }

    #[test]
    fn a_text_is_cut_behind_a_word() {
        assert_eq!(shortened("one two three", 13), "one two three");
        assert_eq!(shortened("one two three", 12), "one two…");
        assert_eq!(shortened("one two three", 8), "one two…");
        assert_eq!(shortened("undividable", 5), "undi…");
        assert_eq!(shortened("a undividable", 8), "a undiv…");
    }

    proptest! {
        #[test]
        fn a_shortened_text_fits_and_is_a_beginning(text in ".{0,200}", max in 1_usize..120) {
            let text = one_line(&text);
            let short = shortened(&text, max);
            prop_assert!(short.chars().count() <= max, "{short}");
            prop_assert!(text.starts_with(short.trim_end_matches(CUT)) || short == text);
        }
    }
}
