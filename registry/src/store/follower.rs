//! The change stream: the engines' end, which tells, and the catalog's end, which listens.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::change::{Changed, Event, Snapshot};

/// Most events taken from the stream at once; others get their turn in between.
const MAX_EVENTS: usize = 64;

/// Everyone who listens to an engine.
///
/// The channels are unbounded because the engines are slower than the catalog: they wait for a disk, it does not.
#[derive(Debug, Default)]
pub struct Followers {
    senders: Vec<UnboundedSender<Event>>,
}

/// A snapshot followed by every change since, in the order of revisions.
#[derive(Debug)]
pub struct Changes {
    receiver: UnboundedReceiver<Event>,
}

// === impl Followers ===

impl Followers {
    /// Adds a follower, who hears of `snapshot` first.
    pub fn add(&mut self, snapshot: Snapshot) -> Changes {
        let (sender, changes) = Changes::beginning_with(snapshot);
        self.senders.push(sender);
        changes
    }

    /// Tells everyone, and forgets those who no longer listen.
    pub fn tell(&mut self, changed: &Changed) {
        self.senders.retain(|sender| sender.send(Event::Changed(changed.clone())).is_ok());
    }
}

// === impl Changes ===

impl Changes {
    /// Changes that open with `snapshot`, and the end at which more are told.
    pub fn beginning_with(snapshot: Snapshot) -> (UnboundedSender<Event>, Self) {
        let (sender, receiver) = unbounded_channel();
        // The other end is at hand.
        let _ = sender.send(Event::Snapshot(snapshot));
        (sender, Self { receiver })
    }

    /// Waits for the next events; an empty list means that the engine is gone.
    pub async fn next(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.receiver.recv_many(&mut events, MAX_EVENTS).await;
        events
    }
}
