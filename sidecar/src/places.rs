//! The places that calls take: among all calls of this sidecar, and at their provider.
//!
//! More calls than there are places are shed at once: a queue in front of providers that are too slow would only make
//! every call late. A stream that may go on for long gives its place back and counts as a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::endpoint::Occupied;
use crate::error::CallError;
use crate::metrics::Metrics;

/// The places of a sidecar.
#[derive(Debug)]
pub struct Places {
    most: usize,
    taken: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

/// A place among the calls in flight.
#[derive(Debug)]
pub struct Place {
    taken: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

/// The places of one call: among all calls, and at its provider.
#[derive(Debug)]
pub struct Held {
    place: Place,
    occupied: Occupied,
}

/// A call that has become a stream: it counts as such until it has ended.
#[derive(Debug)]
pub struct Streaming {
    metrics: Arc<Metrics>,
    _occupied: Occupied,
}

// === impl Places ===

impl Places {
    /// Places for `most` calls.
    pub fn new(most: usize, metrics: Arc<Metrics>) -> Self {
        Self { most, taken: Arc::default(), metrics }
    }

    /// Takes one.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&self) -> Result<Place, CallError> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place { taken: Arc::clone(&self.taken), metrics: Arc::clone(&self.metrics) };
        if before >= self.most {
            return Err(CallError::Overloaded(self.most));
        }
        self.metrics.in_flight(before + 1);
        Ok(place)
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        self.metrics.in_flight(before.saturating_sub(1));
    }
}

// === impl Held ===

impl Held {
    /// The places of a call that a provider answered.
    pub fn new(place: Place, occupied: Occupied) -> Self {
        Self { place, occupied }
    }

    /// The call has become a stream that may go on for long: it makes room for others among the calls in flight.
    pub fn stream(self) -> Streaming {
        let metrics = Arc::clone(&self.place.metrics);
        metrics.stream_opened();
        Streaming { metrics, _occupied: self.occupied }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.metrics.stream_closed();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_are_never_more_calls_than_places_and_none_is_lost(steps in prop::collection::vec(any::<bool>(), 0..60)) {
            let places = Places::new(5, Arc::default());
            let mut taken = Vec::new();
            for takes in steps {
                if takes {
                    let place = places.take();
                    prop_assert_eq!(place.is_ok(), taken.len() < 5);
                    taken.extend(place);
                } else {
                    taken.pop();
                }
                prop_assert_eq!(places.taken(), taken.len());
            }
        }
    }
}
