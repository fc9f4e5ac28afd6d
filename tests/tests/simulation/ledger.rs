//! Which calls there were, who executed them, and what must hold of it whatever happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::trace::Trace;

/// Executions of one call at most that is safe to repeat: three attempts, each of which may have a second one beside it.
const MOST: usize = 6;

/// Which calls there were. Clones are the same.
#[derive(Clone)]
pub(crate) struct Ledger {
    trace: Trace,
    calls: Arc<Mutex<BTreeMap<u64, Entry>>>,
    /// Wakes whoever waits for calls to end.
    ended: Arc<Notify>,
}

#[derive(Debug)]
struct Entry {
    capability: String,
    is_safe: bool,
    executed_by: Vec<String>,
    has_ended: bool,
}

impl Ledger {
    /// No calls yet.
    pub(crate) fn new(trace: Trace) -> Self {
        Self { trace, calls: Arc::default(), ended: Arc::default() }
    }

    /// A call is about to be made; returns its number.
    pub(crate) fn open(&self, capability: &str, is_safe: bool) -> u64 {
        let mut calls = self.calls();
        let number = calls.len() as u64 + 1;
        let capability = capability.to_owned();
        let entry = Entry { capability, is_safe, executed_by: Vec::new(), has_ended: false };
        calls.insert(number, entry);
        number
    }

    /// A call has its answer.
    pub(crate) fn close(&self, number: u64) {
        self.calls().entry(number).and_modify(|entry| entry.has_ended = true);
        self.ended.notify_waiters();
    }

    /// Waits until so many more calls have ended.
    pub(crate) async fn more(&self, calls: usize) {
        let enough = self.count_ended() + calls;
        while self.count_ended() < enough {
            self.ended.notified().await;
        }
    }

    /// Waits until every call has ended.
    pub(crate) async fn all(&self) {
        while self.count_ended() < self.calls().len() {
            self.ended.notified().await;
        }
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

    fn count_ended(&self) -> usize {
        self.calls().values().filter(|entry| entry.has_ended).count()
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
