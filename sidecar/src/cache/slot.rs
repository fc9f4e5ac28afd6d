//! The place of one question in the cache, and its answer.

use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mesh_client::error::ClientError;
use tokio::time::Instant;

/// Where answers come from.
pub trait Source: Send + Sync + 'static {
    /// A question.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    /// Its answer.
    type Value: Send + Sync + 'static;

    /// Asks; `held` is the answer from before, which may be given again when the new one cannot be trusted.
    fn fetch(
        &self,
        key: &Self::Key,
        held: Option<Arc<Self::Value>>,
    ) -> impl Future<Output = Result<Arc<Self::Value>, ClientError>> + Send;

    /// Whether the answer is an empty one, which is believed for a shorter time.
    fn is_empty(value: &Self::Value) -> bool;

    /// Whether nothing but a change makes it untrue. Another one is asked for again soon, also when it is followed.
    fn is_whole(_value: &Self::Value) -> bool {
        true
    }
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// Served without a question.
    pub fresh: Duration,
    /// The same for an empty answer.
    pub negative: Duration,
    /// Served, and refreshed behind.
    pub aging: Duration,
    /// Served only while the registry is away.
    pub stale: Duration,
    /// How long a call waits for an answer that is older, or for the first one.
    pub patience: Duration,
}

/// An answer and how old it is.
#[derive(Debug)]
pub struct Found<V> {
    /// The answer.
    pub value: Arc<V>,
    /// Its age.
    pub age: Duration,
    /// Whether it is past its time and the registry cannot be asked for a newer one.
    pub is_stale: bool,
}

/// The place of one question and its answer.
pub struct Slot<S: Source> {
    /// The question.
    pub key: S::Key,
    pub(super) held: ArcSwapOption<Held<S::Value>>,
    /// Held while asking, so that a question is asked once at a time.
    pub(super) asking: tokio::sync::Mutex<()>,
    asked: Mutex<Option<Instant>>,
    /// When it was used last, in milliseconds since the cache was made.
    pub(super) used: AtomicU64,
    pub(super) is_followed: AtomicBool,
    /// Whether it was forgotten while somebody still held it.
    pub(super) is_forgotten: AtomicBool,
}

pub(super) struct Held<V> {
    pub(super) value: Arc<V>,
    pub(super) at: Instant,
}

// === impl Slot ===

impl<S: Source> Slot<S> {
    pub(super) fn new(key: S::Key) -> Self {
        Self {
            key,
            held: ArcSwapOption::empty(),
            asking: tokio::sync::Mutex::default(),
            asked: Mutex::default(),
            used: AtomicU64::new(0),
            is_followed: AtomicBool::new(false),
            is_forgotten: AtomicBool::new(false),
        }
    }

    /// Notes whether somebody watches the registry and renews the answer with every change.
    pub fn follow(&self, is_followed: bool) {
        self.is_followed.store(is_followed, Ordering::Relaxed);
    }

    /// The answer that is held, and its age.
    pub fn answer(&self) -> Option<(Arc<S::Value>, Duration)> {
        self.held.load_full().map(|held| (Arc::clone(&held.value), held.at.elapsed()))
    }

    pub(super) fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
    }

    pub(super) fn asked(&self) -> Option<Instant> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_asked(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

// === impl Held ===

impl<V> Held<V> {
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    pub(super) fn found(&self, now: Instant, is_stale: bool) -> Found<V> {
        Found { value: Arc::clone(&self.value), age: self.age(now), is_stale }
    }
}

impl<S: Source> std::fmt::Debug for Slot<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
