//! Calls of clients of older revisions, by which they can be cancelled.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use mesh_client::dice::Dice;
use rand::RngExt as _;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

/// The calls that are under way.
#[derive(Debug, Default)]
pub struct Flights(Mutex<HashMap<Flight, CancellationToken>>);

/// A call under way: the session of the client, and the id of its request as it is written.
type Flight = (HeaderValue, Box<str>);

/// A call that can be cancelled for as long as this is held.
#[derive(Debug)]
pub struct Aloft<'f> {
    flights: &'f Flights,
    flight: Flight,
    /// Says when it is cancelled.
    pub cancelled: CancellationToken,
}

// === impl Flights ===

impl Flights {
    /// A name for a session that nobody else has. It is not remembered: whoever names it is in it.
    pub fn session() -> Option<HeaderValue> {
        let name: u128 = Dice.random();
        HeaderValue::from_str(&format!("{name:032x}")).ok()
    }

    /// Notes that a client of `session` waits for the answer to its request `id`.
    pub fn take_off(&self, session: &HeaderValue, id: &RawValue) -> Aloft<'_> {
        let flight = (session.clone(), id.get().into());
        let cancelled = CancellationToken::new();
        self.lock().insert(flight.clone(), cancelled.clone());
        Aloft { flights: self, flight, cancelled }
    }

    /// Cancels the request `id` of a client of `session`, if it is under way.
    pub fn cancel(&self, session: &HeaderValue, id: &RawValue) {
        if let Some(cancelled) = self.lock().get(&(session.clone(), id.get().into())) {
            cancelled.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Flight, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Aloft<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.flight);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn only_the_call_of_that_client_is_cancelled() {
        let flights = Flights::default();
        let (us, them) = (Flights::session().unwrap(), Flights::session().unwrap());
        assert_ne!(us, them);
        let (one, text) = (to_raw_value(&1).unwrap(), to_raw_value("1").unwrap());
        let aloft: Vec<_> = [(&us, &one), (&us, &text), (&them, &one)]
            .map(|(session, id)| flights.take_off(session, id))
            .into();
        flights.cancel(&us, &one);
        let cancelled: Vec<_> = aloft.iter().map(|aloft| aloft.cancelled.is_cancelled()).collect();
        assert_eq!(cancelled, [true, false, false]);
        drop(aloft);
        flights.cancel(&us, &one);
        assert!(flights.lock().is_empty());
    }
}
