//! How far expiry has come, as the sweeper last said.

use std::sync::{PoisonError, RwLock};

use tokio::time::Instant;

use crate::health::Vantage;
use crate::preservation::Freeze;

/// How far expiry has come.
#[derive(Debug)]
pub struct Expiry(RwLock<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    horizon: Instant,
    freeze: Option<Freeze>,
}

impl Expiry {
    /// Nothing has expired before `now`.
    pub fn new(now: Instant) -> Self {
        Self(RwLock::new(State { horizon: now, freeze: None }))
    }

    /// Takes over what the sweeper decided.
    pub fn set(&self, horizon: Instant, freeze: Option<Freeze>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = State { horizon, freeze };
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
