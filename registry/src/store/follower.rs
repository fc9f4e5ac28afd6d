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
        let (sender, receiver) = unbounded_channel();
        if sender.send(Event::Snapshot(snapshot)).is_ok() {
            self.senders.push(sender);
        }
        Changes { receiver }
    }

    /// Tells everyone, and forgets those who no longer listen.
    pub fn tell(&mut self, changed: &Changed) {
        self.senders.retain(|sender| sender.send(Event::Changed(changed.clone())).is_ok());
    }
}

// === impl Changes ===

impl Changes {
    /// Waits for the next events; an empty list means that the engine is gone.
    pub async fn next(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.receiver.recv_many(&mut events, MAX_EVENTS).await;
        events
    }
}
