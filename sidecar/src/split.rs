//! Weighted splits: which part of a capability's providers a call goes to. A canary without a new tool.
//!
//! Pure: the place of a call on the line from 0 to 1 is an argument, drawn at random or derived from its affinity key, so
//! that a key stays on its side.

use std::collections::BTreeMap;

use mesh_api::selector::Selector;
use mesh_api::version::VersionConstraint;
use semver::Version;

/// Most branches of one split.
pub const MAX_BRANCHES: usize = 100;

/// One branch: some of the providers, and their share of the calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Versions that belong to it; all when absent.
    pub version: Option<VersionConstraint>,
    /// Labels of the agents that belong to it; all when absent.
    pub labels: Option<Selector>,
    /// Its share, relative to the others'.
    pub weight: f64,
}

/// The branches of a capability; without any, all providers are one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Split {
    /// In the order of the manifest.
    pub branches: Vec<Branch>,
}

// === impl Split ===

impl Split {
    /// The branch of the call at `place`, from 0 to 1; `None` when there is no split.
    pub fn choose(&self, place: f64) -> Option<usize> {
        let total: f64 = self.branches.iter().map(|branch| branch.weight).sum();
        let mut left = place * total;
        let weighty = || self.branches.iter().enumerate().filter(|(_, branch)| branch.weight > 0.0);
        for (index, branch) in weighty() {
            if left < branch.weight {
                return Some(index);
            }
            left -= branch.weight;
        }
        // Rounding may leave a place at the very end.
        weighty().next_back().map(|(index, _)| index)
    }

    /// The branch that an agent with these labels belongs to, for a capability of this version: the first that fits.
    pub fn branch_of(&self, version: &Version, labels: &BTreeMap<String, String>) -> Option<usize> {
        self.branches.iter().position(|branch| branch.takes(version, labels))
    }
}

// === impl Branch ===

impl Branch {
    fn takes(&self, version: &Version, labels: &BTreeMap<String, String>) -> bool {
        self.version.as_ref().is_none_or(|constraint| constraint.matches(version))
            && self.labels.as_ref().is_none_or(|selector| selector.matches(labels))
    }
}

impl std::fmt::Display for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.version, &self.labels) {
            (Some(version), Some(labels)) => write!(f, "version {version}, labels {labels}"),
            (Some(version), None) => write!(f, "version {version}"),
            (None, Some(labels)) => write!(f, "labels {labels}"),
            (None, None) => write!(f, "everybody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(weights: &[f64]) -> Split {
        let branch = |&weight: &f64| Branch { version: None, labels: None, weight };
        Split { branches: weights.iter().map(branch).collect() }
    }

    #[test]
    fn an_agent_belongs_to_the_first_branch_that_fits() {
        let branches = [("^2", "", 10.0), ("^1", "release=canary", 5.0), ("^1", "", 85.0)];
        let split = Split {
            branches: branches
                .map(|(version, labels, weight)| Branch {
                    version: Some(version.parse().unwrap()),
                    labels: Some(labels).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()),
                    weight,
                })
                .into(),
        };
        let canary = BTreeMap::from([("release".to_owned(), "canary".to_owned())]);
        let of = |version: &str, labels: &BTreeMap<_, _>| split.branch_of(&version.parse().unwrap(), labels);
        assert_eq!(of("2.1.0", &canary), Some(0));
        assert_eq!((of("1.3.0", &canary), of("1.3.0", &BTreeMap::new())), (Some(1), Some(2)));
        assert_eq!(of("3.0.0", &canary), None);
    }

    #[test]
    fn without_weight_or_branches_nothing_is_chosen() {
        assert_eq!((split(&[]).choose(0.5), split(&[0.0, 0.0]).choose(0.5)), (None, None));
        assert_eq!(split(&[0.0, 1.0]).choose(0.0), Some(1));
    }

    proptest! {
        #[test]
        fn shares_are_those_of_the_weights(weights in prop::collection::vec(0u32..100, 1..6)) {
            let weights: Vec<_> = weights.into_iter().map(f64::from).collect();
            let (split, total) = (split(&weights), weights.iter().sum::<f64>());
            prop_assume!(total > 0.0);
            let mut hits = vec![0.0; weights.len()];
            for i in 0..10_000 {
                hits[split.choose((f64::from(i) + 0.5) / 10_000.0).unwrap()] += 1.0 / 10_000.0;
            }
            for (hits, weight) in hits.iter().zip(&weights) {
                prop_assert!((hits - weight / total).abs() < 0.001, "{hits} {weight}");
            }
        }

        #[test]
        fn the_end_of_the_line_belongs_to_somebody(weights in prop::collection::vec(0.0f64..1e9, 1..6), place in 0.0f64..=1.0) {
            let split = split(&weights);
            let chosen = split.choose(place);
            prop_assert_eq!(chosen.is_some(), weights.iter().any(|&weight| weight > 0.0));
            prop_assert!(chosen.is_none_or(|index| weights[index] > 0.0));
        }
    }
}
