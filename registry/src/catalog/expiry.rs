//! How far expiry has come, as the sweeper last said.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::health::Vantage;
use crate::preservation::Freeze;

/// A time without belief in silence that matters to nobody who has been silent for the time of retention.
const SHORT: Duration = Duration::from_secs(60);

/// How far expiry has come.
#[derive(Debug)]
pub struct Expiry(RwLock<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    horizon: Instant,
    freeze: Option<Freeze>,
    /// Since when silence is believed without a break that matters.
    believed: Instant,
}

impl Expiry {
    /// Nothing has expired before `now`.
    pub fn new(now: Instant) -> Self {
        Self(RwLock::new(State { horizon: now, freeze: None, believed: now }))
    }

    /// Takes over what the sweeper decided at `now`.
    pub fn set(&self, horizon: Instant, freeze: Option<Freeze>, now: Instant) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_long = |freeze: Freeze| now.saturating_duration_since(freeze.since) > SHORT;
        let believed = if freeze.is_some_and(is_long) { now } else { state.believed };
        *state = State { horizon, freeze, believed };
    }

    /// Since when silence is believed without a break that matters.
    pub fn believed_since(&self) -> Instant {
        self.get().believed
    }

    /// From where statuses are looked at now.
    pub fn vantage(&self, now: Instant) -> Vantage {
        Vantage { now, horizon: self.get().horizon }
    }

    /// Why expiry stands still, if it does.
    pub fn freeze(&self) -> Option<Freeze> {
        self.get().freeze
    }

    fn get(&self) -> State {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
