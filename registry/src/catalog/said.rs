//! The metadata that an agent's heartbeats brought. They add up and have an end; the vitals keep them.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use crate::store::change::Beat;

/// Most metadata that the heartbeats of an agent may bring in all, in bytes of JSON: they are shown with every answer.
pub const MAX_SAID: usize = 64 * 1024;

/// The metadata of an agent's heartbeats are more than is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be at most {MAX_SAID} bytes in all that an agent's heartbeats bring, say less under fewer keys"
)]
pub struct TooMuchSaid;

/// The metadata that heartbeats brought.
#[derive(Debug)]
pub struct Said {
    /// By key.
    pub metadata: Map<String, Value>,
    /// The same as JSON.
    pub json: String,
    /// Differs when the metadata differ; never 0.
    pub fingerprint: u64,
}

impl Said {
    /// What is said when these metadata add to what is known; `None` when that is no more than is known.
    ///
    /// # Errors
    /// When it gets too large.
    pub fn with(known: Option<&Self>, metadata: Map<String, Value>) -> Result<Option<Self>, TooMuchSaid> {
        let known = known.map(|said| &said.metadata);
        if metadata.iter().all(|(key, value)| known.and_then(|known| known.get(key)) == Some(value)) {
            return Ok(None);
        }
        let mut all = known.cloned().unwrap_or_default();
        all.extend(metadata);
        // Strings, numbers and lists of them have no way not to become JSON.
        let json = serde_json::to_string(&all).unwrap_or_else(|_| "{}".to_owned());
        if json.len() > MAX_SAID {
            return Err(TooMuchSaid);
        }
        let fingerprint = xxh3_64(json.as_bytes()).max(1);
        Ok(Some(Self { metadata: all, json, fingerprint }))
    }

    /// The metadata that come with a heartbeat that was heard elsewhere, or before a restart.
    pub fn in_beat(beat: &Beat) -> Option<Map<String, Value>> {
        beat.said.as_deref().and_then(|said| serde_json::from_str(said).ok())
    }

    /// Of these metadata those under keys that are not known.
    pub fn new_in(known: Option<&Self>, mut metadata: Map<String, Value>) -> Map<String, Value> {
        metadata.retain(|key, _| known.is_none_or(|known| !known.metadata.contains_key(key)));
        metadata
    }
}
