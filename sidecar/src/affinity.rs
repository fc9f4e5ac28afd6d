//! The same key, the same provider: rendezvous hashing.
//!
//! Every provider gets a number made of the key and its id, and the lowest one serves. When a provider goes, only its own
//! keys move, each to its second choice; when it returns they return. All sidecars agree, as nothing else goes into the
//! number. Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); weights as in
//! Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (2005): −ln(u) ÷ weight.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where the calls with `key` stand on the line from 0 to 1.
pub fn place(key: &str) -> f64 {
    unit(xxh3_64_with_seed(key.as_bytes(), 0))
}

/// The number of the provider `id` for `key`: the lowest of all serves, and as often as its weight says.
pub fn distance(key: &str, id: &str, weight: f64) -> f64 {
    let seed = xxh3_64_with_seed(key.as_bytes(), 1);
    -unit(xxh3_64_with_seed(id.as_bytes(), seed)).ln() / weight
}

/// A hash as a number above 0 and below 1.
fn unit(hash: u64) -> f64 {
    ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn serves<'i>(key: &str, ids: &[(&'i str, f64)]) -> &'i str {
        ids.iter()
            .min_by(|a, b| distance(key, a.0, a.1).total_cmp(&distance(key, b.0, b.1)))
            .map(|one| one.0)
            .unwrap()
    }

    #[test]
    fn the_choice_is_the_same_in_every_sidecar_of_every_release() {
        let ids = [("a", 1.0), ("b", 1.0), ("c", 1.0)];
        let chosen: String = (0..12).map(|i| serves(&format!("user-{i}"), &ids)).collect();
        assert_eq!(chosen, "cabcacabbbbc");
    }

    #[test]
    fn weights_are_shares() {
        let ids = [("a", 1.0), ("b", 3.0)];
        let b = (0..10_000).filter(|i| serves(&i.to_string(), &ids) == "b").count();
        assert!((7_300..7_700).contains(&b), "{b}");
    }

    proptest! {
        #[test]
        fn only_the_keys_of_the_one_that_goes_move(key in ".{1,20}", gone in 0usize..4) {
            let ids = [("a", 1.0), ("b", 2.0), ("c", 1.0), ("d", 0.5)];
            let rest: Vec<_> = ids.iter().copied().enumerate().filter(|(i, _)| *i != gone).map(|(_, id)| id).collect();
            let before = serves(&key, &ids);
            prop_assert!(before == ids[gone].0 || serves(&key, &rest) == before);
            prop_assert!((0.0..1.0).contains(&place(&key)));
        }
    }
}
