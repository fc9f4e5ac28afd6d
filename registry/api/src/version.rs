//! Version constraints, in the grammar of the `semver` crate with one addition: a bare version means exactly it.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::document::{cut, quoted};

/// Which versions of a capability will do: `^1.2`, `~1.2.0`, `>1.0.0`, `>=1,<2`, `1.2.3` for exactly that one.
///
/// Pre-releases match only a constraint that names one of the same version, as in the `semver` crate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = PATTERN))]
pub struct VersionConstraint {
    requirement: VersionReq,
}

/// What is a version, as a regular expression; numbers end below 10^19, which is short of what the reader takes.
const VERSION_PATTERN: &str = r"^(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})\.(0|[1-9][0-9]{0,18})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][A-Za-z0-9-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][A-Za-z0-9-]*))*)?(\+[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?$";
/// What is a constraint, as a regular expression: comparators with commas between them, or a wildcard.
const PATTERN: &str = r"^ *([*xX]|(=|>=?|<=?|~|\^)? *(0|[1-9][0-9]{0,18})(\.[*xX](\.[*xX])?|\.(0|[1-9][0-9]{0,18})(\.[*xX]|\.(0|[1-9][0-9]{0,18})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][A-Za-z0-9-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][A-Za-z0-9-]*))*)?(\+[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?)?)? *(, *(=|>=?|<=?|~|\^)? *(0|[1-9][0-9]{0,18})(\.[*xX](\.[*xX])?|\.(0|[1-9][0-9]{0,18})(\.[*xX]|\.(0|[1-9][0-9]{0,18})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][A-Za-z0-9-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][A-Za-z0-9-]*))*)?(\+[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?)?)? *){0,31}) *$";

/// Why a text is not a version constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a version constraint ({reason}); valid ones are ^1.2.0, ~1.2.0, >1.0.0, >=1.0.0,<2.0.0 and 1.2.3", quoted(.text))]
pub struct InvalidConstraint {
    text: String,
    reason: String,
}

/// Parses the version of a capability.
///
/// # Errors
/// What is wrong with it, and a version that it may have been meant to be.
pub fn parse_version(text: &str) -> Result<Version, String> {
    Version::parse(text).map_err(|fault| {
        let digits = text.trim().trim_start_matches('v');
        let completed = [digits.to_owned(), format!("{digits}.0"), format!("{digits}.0.0")];
        match completed.iter().find(|candidate| Version::parse(candidate).is_ok()) {
            Some(meant) => {
                format!("must be a semantic version, got {}: did you mean '{}'?", quoted(text), cut(meant))
            }
            None => format!("must be a semantic version such as 1.2.0, got {} ({fault})", quoted(text)),
        }
    })
}

/// The schema of a version.
pub(crate) fn version_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": VERSION_PATTERN})
}

/// The schema of a list of versions.
pub(crate) fn versions_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": version_schema(generator)})
}

// === impl VersionConstraint ===

impl VersionConstraint {
    /// Whether `version` will do.
    pub fn matches(&self, version: &Version) -> bool {
        self.requirement.matches(version)
    }
}

impl FromStr for VersionConstraint {
    type Err = InvalidConstraint;

    fn from_str(text: &str) -> Result<Self, InvalidConstraint> {
        let comparators = text.split(',').map(exact_if_bare).collect::<Vec<_>>().join(",");
        match VersionReq::parse(&comparators) {
            Ok(requirement) => Ok(Self { requirement }),
            Err(fault) => Err(InvalidConstraint { text: text.to_owned(), reason: fault.to_string() }),
        }
    }
}

/// `1.2.3` becomes `=1.2.3`; everything else stays. Spaces are the only space that the grammar has.
fn exact_if_bare(comparator: &str) -> String {
    let comparator = comparator.trim_matches(' ');
    let bare = comparator.starts_with(|c: char| c.is_ascii_digit()) && !comparator.contains('*');
    if bare { format!("={comparator}") } else { comparator.to_owned() }
}

impl fmt::Display for VersionConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.requirement.fmt(f)
    }
}

impl TryFrom<String> for VersionConstraint {
    type Error = InvalidConstraint;

    fn try_from(text: String) -> Result<Self, InvalidConstraint> {
        text.parse()
    }
}

impl From<VersionConstraint> for String {
    fn from(constraint: VersionConstraint) -> Self {
        constraint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(constraint: &str, version: &str) -> bool {
        constraint.parse::<VersionConstraint>().unwrap().matches(&Version::parse(version).unwrap())
    }

    #[test]
    fn the_documents_constraints_mean_what_it_says() {
        assert!(matches(">1.0.0", "1.0.1") && !matches(">1.0.0", "1.0.0"));
        assert!(matches("~1.2.0", "1.2.9") && !matches("~1.2.0", "1.3.0"));
        assert!(matches("^1.0.0", "1.9.0") && !matches("^1.0.0", "2.0.0"));
    }

    #[test]
    fn a_bare_version_is_exact_and_a_range_takes_a_comma() {
        assert!(matches("1.2.3", "1.2.3") && !matches("1.2.3", "1.2.4"));
        assert!(matches(">=1,<2", "1.5.0") && !matches(">=1,<2", "2.0.0"));
        assert!(matches("*", "7.0.0") && matches("1.*", "1.4.0"));
    }

    #[test]
    fn pre_releases_match_only_when_asked_for() {
        assert!(!matches("^1.0.0", "1.1.0-beta.1") && matches(">=1.1.0-beta.1", "1.1.0-beta.2"));
    }

    #[test]
    fn only_spaces_stand_between_comparators() {
        assert!(matches(" >= 1 , < 2 ", "1.5.0"));
        for text in ["2\u{b}", ">=1,\t<2", "\n1.0.0"] {
            assert!(text.parse::<VersionConstraint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_bad_constraint_says_why_and_shows_a_good_one() {
        let fault = "newest".parse::<VersionConstraint>().unwrap_err().to_string();
        assert!(fault.contains("\"newest\"") && fault.contains("^1.2.0"), "{fault}");
    }

    #[test]
    fn a_short_version_is_completed_in_the_message() {
        assert!(parse_version("1.2").unwrap_err().contains("did you mean '1.2.0'?"));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(text in "(\\^|~|>=|=|<)?(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){0,2}(,<[1-9]\\.0\\.0)?") {
            let constraint: VersionConstraint = text.parse().unwrap();
            prop_assert_eq!(constraint.to_string().parse::<VersionConstraint>().unwrap(), constraint);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = text.parse::<VersionConstraint>();
        }
    }
}
