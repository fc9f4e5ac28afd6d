//! Which calls must succeed at present. A call must when the same promise held from its beginning to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time that a call must have for a promise to hold for it: several attempts at providers that hang, 1 s each.
pub(crate) const ENOUGH: Duration = Duration::from_secs(5);

/// Which calls must succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promised {
    /// None.
    Nothing,
    /// Those that are safe to repeat.
    SafeCalls,
    /// All.
    AllCalls,
}

/// What is promised at present. Clones are the same.
#[derive(Clone)]
pub(crate) struct Promise(Arc<Mutex<Present>>);

/// What was promised at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present {
    number: u32,
    promised: Promised,
}

impl Promise {
    /// Nothing is promised.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Present { number: 0, promised: Promised::Nothing })))
    }

    /// From now on something else is promised.
    pub(crate) fn make(&self, promised: Promised) {
        let mut present = self.lock();
        *present = Present { number: present.number + 1, promised };
    }

    /// What is promised now.
    pub(crate) fn present(&self) -> Present {
        *self.lock()
    }

    /// Whether a call had to succeed that began when `then` was promised, and ends now.
    pub(crate) fn was_kept_up(&self, then: Present, is_safe: bool, timeout: Duration) -> bool {
        let covered = match then.promised {
            Promised::Nothing => false,
            Promised::SafeCalls => is_safe,
            Promised::AllCalls => true,
        };
        covered && timeout >= ENOUGH && *self.lock() == then
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
