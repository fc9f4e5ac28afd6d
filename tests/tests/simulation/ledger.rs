//! Which calls there were, who executed them, and what must hold of it whatever happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::trace::Trace;

/// Executions of one call at most that is safe to repeat: three attempts, each of which may have a second one beside it.
const MOST: usize = 6;

/// Which calls there were. Clones are the same.
#[derive(Clone)]
pub(crate) struct Ledger {
    trace: Trace,
    calls: Arc<Mutex<BTreeMap<u64, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    capability: String,
    is_safe: bool,
    executed_by: Vec<String>,
}

impl Ledger {
    /// No calls yet.
    pub(crate) fn new(trace: Trace) -> Self {
        Self { trace, calls: Arc::default() }
    }

    /// A call is about to be made; returns its number.
    pub(crate) fn open(&self, capability: &str, is_safe: bool) -> u64 {
        let mut calls = self.calls();
        let number = calls.len() as u64 + 1;
        let entry = Entry { capability: capability.to_owned(), is_safe, executed_by: Vec::new() };
        calls.insert(number, entry);
        number
    }

    /// An agent executes a call.
    pub(crate) fn executed(&self, call: u64, tool: &str, agent: &str) {
        self.trace.note(format_args!("  {agent} executes call {call}"));
        let mut calls = self.calls();
        let Some(entry) = calls.get_mut(&call) else {
            return self.trace.violated(format_args!("{agent} executes call {call}, which nobody made"));
        };
        if entry.capability != tool {
            let wanted = &entry.capability;
            self.trace.violated(format_args!("call {call} of {wanted} reaches {tool} of {agent}"));
        }
        entry.executed_by.push(agent.to_owned());
        let most = if entry.is_safe { MOST } else { 1 };
        if entry.executed_by.len() > most {
            let by = entry.executed_by.join(", ");
            let kind = if entry.is_safe { "safe to repeat" } else { "not safe to repeat" };
            self.trace.violated(format_args!("call {call}, {kind}, was executed by {by}"));
        }
    }

    /// Whether `agent` has executed a call.
    pub(crate) fn has_executed(&self, call: u64, agent: &str) -> bool {
        self.calls().get(&call).is_some_and(|entry| entry.executed_by.iter().any(|by| by == agent))
    }

    /// Whether anybody has executed a call.
    pub(crate) fn is_executed(&self, call: u64) -> bool {
        self.calls().get(&call).is_some_and(|entry| !entry.executed_by.is_empty())
    }

    /// How many calls there were, and how many of them were executed more than once.
    pub(crate) fn count(&self) -> (usize, usize) {
        let calls = self.calls();
        (calls.len(), calls.values().filter(|entry| entry.executed_by.len() > 1).count())
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
