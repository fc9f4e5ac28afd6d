//! What happened, in order and with the time of the simulation: lines for people, and one number of everything that tells
//! whether two runs were the same.

use std::fmt::{Display, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What happened. Clones write into the same.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Written>>);

struct Written {
    start: Instant,
    hash: DefaultHasher,
    lines: Vec<String>,
    violations: Vec<String>,
}

impl Trace {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        let (hash, lines, violations) = (DefaultHasher::new(), Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(Written { start: Instant::now(), hash, lines, violations })))
    }

    /// Notes something that people want to read.
    pub(crate) fn note(&self, what: impl Display) {
        let mut written = self.written();
        let line = format!("{:>10.3} {what}", written.start.elapsed().as_secs_f64());
        line.hash(&mut written.hash);
        written.lines.push(line);
    }

    /// Notes something that only two runs have to agree on.
    pub(crate) fn mark(&self, what: impl Display) {
        let mut written = self.written();
        let at = written.start.elapsed().as_nanos();
        at.hash(&mut written.hash);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(text, "{what}");
        text.hash(&mut written.hash);
    }

    /// Notes that something happened which must not happen.
    pub(crate) fn violated(&self, what: impl Display) {
        let what = what.to_string();
        self.note(format_args!("VIOLATION {what}"));
        let at = self.written().start.elapsed().as_secs_f64();
        self.written().violations.push(format!("at {at:.3}: {what}"));
    }

    /// What must not have happened, so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.written().violations.clone()
    }

    /// All lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.written().lines.clone()
    }

    /// One number of everything that was noted.
    pub(crate) fn hash(&self) -> u64 {
        self.written().hash.finish()
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
