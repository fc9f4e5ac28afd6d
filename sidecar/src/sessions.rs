//! Sessions that callers hold with one provider through `/proxy`: the follow-up must find the same one.
//!
//! A provider that minted a session (`Mcp-Session-Id`) is the only one that knows it, so there is no other choice and no
//! second attempt elsewhere. What is remembered is bounded; a session that was forgotten here is answered with 404, on
//! which a client opens a new one (MCP 2025-11-25, "Session Management").

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

/// Most sessions that are remembered.
const MAX_SESSIONS: usize = 10_000;
/// Longest session id that is remembered, in bytes: with all places taken they are 10 MB.
const MAX_BYTES: usize = 1_024;
/// Time without use after which one is forgotten.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// Which provider each session belongs to.
#[derive(Debug, Default)]
pub struct Sessions {
    pins: Mutex<HashMap<HeaderValue, Pin>>,
}

#[derive(Debug)]
struct Pin {
    agent_id: String,
    used: Instant,
}

// === impl Sessions ===

impl Sessions {
    /// Remembers that `agent_id` minted `session`.
    pub fn pin(&self, session: &HeaderValue, agent_id: &str, now: Instant) {
        if session.len() > MAX_BYTES {
            return;
        }
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if pins.len() >= MAX_SESSIONS && !pins.contains_key(session) {
            pins.retain(|_, pin| pin.is_kept(now));
            if pins.len() >= MAX_SESSIONS {
                let oldest = pins.iter().min_by_key(|(_, pin)| pin.used).map(|(session, _)| session.clone());
                oldest.and_then(|oldest| pins.remove(&oldest));
            }
        }
        pins.insert(session.clone(), Pin { agent_id: agent_id.to_owned(), used: now });
    }

    /// The provider of `session`.
    pub fn provider(&self, session: &HeaderValue, now: Instant) -> Option<String> {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let pin = pins.get_mut(session).filter(|pin| pin.is_kept(now))?;
        pin.used = now;
        Some(pin.agent_id.clone())
    }
}

// === impl Pin ===

impl Pin {
    fn is_kept(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < KEPT
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session(i: usize) -> HeaderValue {
        HeaderValue::from(i)
    }

    #[test]
    fn a_session_is_kept_while_it_is_used() {
        let (sessions, mut now) = (Sessions::default(), Instant::now());
        sessions.pin(&session(1), "a", now);
        for _ in 0..3 {
            now += KEPT - Duration::from_secs(1);
            assert_eq!(sessions.provider(&session(1), now).as_deref(), Some("a"));
        }
        assert_eq!(sessions.provider(&session(1), now + KEPT), None);
        assert_eq!(sessions.provider(&session(2), now), None);
    }

    #[test]
    fn the_one_unused_for_longest_makes_room() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        for i in 0..=MAX_SESSIONS {
            sessions.pin(&session(i), "a", start + Duration::from_millis(i as u64));
        }
        let later = start + Duration::from_secs(60);
        assert_eq!(sessions.provider(&session(0), later), None);
        assert!((1..=MAX_SESSIONS).all(|i| sessions.provider(&session(i), later).is_some()));
    }

    #[test]
    fn a_provider_cannot_fill_the_memory_with_long_names() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let long = HeaderValue::from_str(&"x".repeat(MAX_BYTES + 1)).unwrap();
        sessions.pin(&long, "a", now);
        assert_eq!(sessions.provider(&long, now), None);
    }

    proptest! {
        #[test]
        fn a_session_leads_to_whoever_minted_it_last(pins in prop::collection::vec((0usize..5, 0usize..3), 0..40)) {
            let (sessions, now) = (Sessions::default(), Instant::now());
            let mut minted = HashMap::new();
            for (id, agent) in pins {
                sessions.pin(&session(id), &agent.to_string(), now);
                minted.insert(id, agent.to_string());
            }
            for id in 0..5 {
                prop_assert_eq!(sessions.provider(&session(id), now), minted.get(&id).cloned());
            }
        }
    }
}
