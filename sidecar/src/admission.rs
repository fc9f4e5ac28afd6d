//! Who is let in to our agent: so many requests at once, and nobody any more when it is time to go.
//!
//! A request has its place until the last byte of its answer has gone: an agent works on a stream for as long as that
//! lasts. Whoever finds no place is turned away at once, because somebody else may have one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// The places at our agent.
#[derive(Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    most: u32,
    is_closed: AtomicBool,
    metrics: Arc<Metrics>,
}

/// A place at our agent, for one request.
#[derive(Debug)]
pub struct Guest {
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

/// Why a request is not let in. Our agent has not seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// It works on as many as it may.
    #[error("our agent works on {0} requests of peers already, which is the most it is given (max_inbound)")]
    Full(u32),
    /// It is about to go.
    #[error("this sidecar is going away and its agent with it: ask another provider")]
    Leaving,
}

// === impl Admission ===

impl Admission {
    /// Places for `most` requests.
    pub fn new(most: u32, metrics: Arc<Metrics>) -> Self {
        let places = Arc::new(Semaphore::new(most as usize));
        Self { places, most, is_closed: AtomicBool::new(false), metrics }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(&self) -> Result<Guest, Turned> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Turned::Leaving);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Turned::Full(self.most))?;
        self.metrics.inbound.entered();
        Ok(Guest { metrics: Arc::clone(&self.metrics), _place: place })
    }

    /// Lets nobody in any more, and waits until all have left.
    pub async fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // Fails when the semaphore is closed, which nobody does.
        drop(self.places.acquire_many(self.most).await);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.metrics.inbound.left();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn there_are_never_more_guests_than_places() {
        let admission = Admission::new(2, Arc::default());
        let guests = [admission.enter().unwrap(), admission.enter().unwrap()];
        assert_eq!(admission.enter().unwrap_err(), Turned::Full(2));
        drop(guests);
        assert!(admission.enter().is_ok());
    }

    #[tokio::test]
    async fn who_closes_waits_for_the_last_guest_and_nobody_new_comes_in() {
        let admission = Admission::new(2, Arc::default());
        let guest = admission.enter().unwrap();
        let mut closing = Box::pin(admission.close());
        assert!((&mut closing).now_or_never().is_none());
        assert_eq!(admission.enter().unwrap_err(), Turned::Leaving);
        drop(guest);
        assert!(closing.now_or_never().is_some());
    }
}
