//! Cuts one page out of what a query found, and the opaque token that continues behind it.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_api::error::Fault;
use mesh_api::query::Paging;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::fuzzy::Score;
use super::hit::{Hit, Place};

/// One page of hits.
#[derive(Debug)]
pub struct Page {
    /// The hits, in the order of the answer.
    pub hits: Vec<Hit>,
    /// Hits of all pages.
    pub total: usize,
    /// Continues behind the last hit; `None` on the last page.
    pub continue_token: Option<String>,
}

/// The place of the last hit of a page. Names what was seen, not how many: changes in between lose and repeat nothing.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    score: Option<u16>,
    agent: String,
    capability: Option<(String, Version)>,
}

// === impl Page ===

impl Page {
    /// Sorts what was found and cuts the page that is wanted.
    ///
    /// # Errors
    /// When the token was not given out for this kind of query.
    pub fn cut(mut hits: Vec<Hit>, paging: &Paging, is_fuzzy: bool) -> Result<Self, Fault> {
        let total = hits.len();
        hits.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        if let Some(token) = &paging.continue_token {
            let cursor = Cursor::decode(token).filter(|cursor| cursor.score.is_some() == is_fuzzy);
            let cursor = cursor
                .ok_or_else(|| Fault::new("continue", "is not a token from an answer to this query"))?;
            let seen = hits.partition_point(|hit| hit.place() <= cursor.place());
            hits.drain(..seen);
        }
        let limit = paging.limit.unwrap_or(usize::MAX);
        let is_last = hits.len() <= limit;
        hits.truncate(limit);
        let continue_token = hits.last().filter(|_| !is_last).map(|hit| Cursor::at(hit).encode());
        Ok(Self { hits, total, continue_token })
    }
}

// === impl Cursor ===

impl Cursor {
    fn at(hit: &Hit) -> Self {
        let capability =
            hit.capability().map(|capability| (capability.name.clone(), capability.version.clone()));
        let agent = hit.record.registration().id.clone();
        Self { score: hit.score.map(Score::parts), agent, capability }
    }

    fn place(&self) -> Place<'_> {
        let capability = self.capability.as_ref().map(|(name, version)| (name.as_str(), version));
        (Reverse(self.score.and_then(Score::from_parts)), &self.agent, capability)
    }

    fn encode(&self) -> String {
        // Strings, numbers and versions have no way not to become JSON.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(token: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_place(
            score in prop::option::of(1u16..=10_000), agent in "[a-z:._-]{1,20}", capability in prop::option::of("[a-z]{1,9}")
        ) {
            let capability = capability.map(|name| (name, Version::new(1, 2, 3)));
            let cursor = Cursor { score, agent, capability };
            let read = Cursor::decode(&cursor.encode()).unwrap();
            prop_assert_eq!(read.place(), cursor.place());
        }

        #[test]
        fn no_text_makes_the_decoder_panic(token in ".{0,40}") {
            let _ = Cursor::decode(&token);
        }
    }
}
