//! One change of one agent, as watchers are told of it: rendered once for all of them.

use std::sync::{Arc, OnceLock};

use mesh_api::agent::Registration;
use mesh_api::health::Status;
use tokio::time::Instant;

use super::listed::Listed;
use super::record::Record;
use super::render;

/// What an event weighs beside its documents, in bytes.
const OVERHEAD: usize = 512;

/// One change of one agent.
#[derive(Debug)]
pub struct Event {
    /// The revision of the change.
    pub revision: u64,
    /// When it was made known here.
    pub told: Instant,
    /// Whether it is a change of status that this registry noticed by itself.
    pub is_noticed: bool,
    /// The agent as it was listed since the event before, or before there were events.
    before: Option<View>,
    after: Option<View>,
    /// As an ADDED, a MODIFIED and a DELETED.
    frames: [OnceLock<Arc<str>>; 3],
    weight: usize,
}

/// What a watcher could see of an agent.
#[derive(Debug)]
pub struct View {
    record: Arc<Record>,
    /// The last one is what is shown.
    listed: Listed,
    /// What filters ask; read when the first one does.
    outline: OnceLock<Box<Registration>>,
}

/// What a change is to one watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The agent is new to it.
    Added,
    /// The agent was there before and still is.
    Modified,
    /// The agent is gone, or none of its business any more.
    Deleted,
}

// === impl Event ===

impl Event {
    /// An agent was like `before` and is like `after`.
    pub fn new(revision: u64, told: Instant, before: Option<View>, after: Option<View>) -> Self {
        let views = [&before, &after].into_iter().flatten();
        let weight = OVERHEAD + views.map(View::weight).sum::<usize>();
        Self { revision, told, is_noticed: false, before, after, frames: Default::default(), weight }
    }

    /// It is a change of status that this registry noticed by itself.
    pub fn noticed(self) -> Self {
        Self { is_noticed: true, ..self }
    }

    /// What it is to a watcher that sees what `sees` says; `None` when it is nothing.
    pub fn verb(&self, sees: impl Fn(&Registration, Status) -> bool) -> Option<Verb> {
        let fits = |view: &View, status| sees(view.outline(), status);
        let was_told = self.before.as_ref().is_some_and(|view| fits(view, view.listed.first()));
        let is_there = self.after.as_ref().is_some_and(|view| fits(view, view.listed.last()));
        // Whoever has listed the agent before it was told of it must be told that it is gone.
        let was_listed =
            || self.before.as_ref().is_some_and(|view| view.listed.iter().any(|one| fits(view, one)));
        match (was_told, is_there) {
            (false, true) => Some(Verb::Added),
            (true, true) => Some(Verb::Modified),
            (_, false) => was_listed().then_some(Verb::Deleted),
        }
    }

    /// How much memory the event keeps from being freed, in bytes and roughly: what it shows, as it is and as it is
    /// sent.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The event as it is sent. What is gone from a watcher's sight is shown as it is now, or as it was last.
    pub fn frame(&self, verb: Verb) -> Arc<str> {
        let view = self.after.as_ref().or(self.before.as_ref());
        let frame = self.frames[verb as usize].get_or_init(|| {
            view.map_or_else(
                || "".into(),
                |view| changed(verb, &view.record, view.listed.last(), self.revision).into(),
            )
        });
        Arc::clone(frame)
    }
}

/// The server-sent event that an agent has changed.
fn changed(verb: Verb, record: &Record, status: Status, revision: u64) -> String {
    let (verb, object) = (verb.as_str(), object(record, status));
    format!(
        "event: {verb}\nid: {revision}\ndata: {{\"type\":\"{verb}\",\"object\":{object},\"resource_version\":{revision}}}\n\n"
    )
}

/// The server-sent event that an agent is there to begin with. Nobody can resume from it.
pub fn listed(record: &Record, status: Status) -> String {
    let (verb, object) = (Verb::Added.as_str(), object(record, status));
    format!("event: {verb}\ndata: {{\"type\":\"{verb}\",\"object\":{object}}}\n\n")
}

fn object(record: &Record, status: Status) -> String {
    let mut object = Vec::new();
    render::agent(record, &record.vitals.showing(), status, None, &mut object);
    // A document is text, and so is all that is laid over it.
    String::from_utf8_lossy(&object).into_owned()
}

// === impl View ===

impl View {
    /// What a watcher can see, or has seen, of an agent under these statuses.
    pub fn new(record: Arc<Record>, listed: Listed) -> Self {
        Self { record, listed, outline: OnceLock::new() }
    }

    /// The document is there and sent, what heartbeats said is only sent.
    fn weight(&self) -> usize {
        let said = self.record.vitals.said().map_or(0, |said| said.json.len());
        2 * self.record.stored.document.len() + said
    }

    fn outline(&self) -> &Registration {
        self.outline.get_or_init(|| Box::new(self.record.outline()))
    }
}

// === impl Verb ===

impl Verb {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}
