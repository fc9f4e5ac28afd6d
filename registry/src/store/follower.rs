//! The change stream: the engines' end, which tells, and the catalog's end, which listens.

use std::fmt;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::change::{Changed, Event, Snapshot};

/// Most events taken from the stream at once; others get their turn in between.
const MAX_EVENTS: usize = 64;

/// Everyone who listens to an engine.
///
/// The channels are unbounded because the engines are slower than the catalog: they wait for a disk, it does not.
#[derive(Debug, Default)]
pub struct Followers {
    tellers: Vec<Teller>,
}

/// A snapshot followed by every change since, in the order of revisions.
#[derive(Debug)]
pub struct Changes {
    receiver: UnboundedReceiver<Told>,
    /// What is done once the events that were taken last have been taken in.
    then: Vec<Then>,
}

/// The engines' end of [`Changes`].
#[derive(Debug, Clone)]
pub struct Teller(UnboundedSender<Told>);

/// Nobody listens any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheard;

#[derive(Debug)]
struct Told {
    event: Option<Event>,
    then: Option<Then>,
}

/// Something that is done when an event, and all before it, has been taken in.
pub struct Then(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then")
    }
}

// === impl Followers ===

impl Followers {
    /// Adds a follower, who hears of `snapshot` first.
    pub fn add(&mut self, snapshot: Snapshot) -> Changes {
        let (teller, changes) = Changes::beginning_with(snapshot);
        self.tellers.push(teller);
        changes
    }

    /// Tells everyone, and forgets those who no longer listen.
    pub fn tell(&mut self, changed: &Changed) {
        self.tellers.retain(|teller| teller.tell(Event::Changed(changed.clone())).is_ok());
    }
}

// === impl Teller ===

impl Teller {
    /// Tells an event.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn tell(&self, event: Event) -> Result<(), Unheard> {
        self.0.send(Told { event: Some(event), then: None }).map_err(|_| Unheard)
    }

    /// Has something done when all that was told before has been taken in.
    ///
    /// # Errors
    /// When nobody listens any more. It is not done then.
    pub fn then(&self, act: impl FnOnce() + Send + 'static) -> Result<(), Unheard> {
        self.0.send(Told { event: None, then: Some(Then(Box::new(act))) }).map_err(|_| Unheard)
    }

    /// Whether nobody listens any more.
    pub fn is_unheard(&self) -> bool {
        self.0.is_closed()
    }
}

// === impl Changes ===

impl Changes {
    /// Changes that open with `snapshot`, and the end at which more are told.
    pub fn beginning_with(snapshot: Snapshot) -> (Teller, Self) {
        let (sender, receiver) = unbounded_channel();
        let teller = Teller(sender);
        // The other end is at hand.
        let _ = teller.tell(Event::Snapshot(snapshot));
        (teller, Self { receiver, then: Vec::new() })
    }

    /// Waits for the next events; an empty list means that the engine is gone. Whoever asks for more has taken in those
    /// that it got before.
    pub async fn next(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            self.then.drain(..).for_each(|Then(act)| act());
            if self.receiver.recv_many(&mut told, MAX_EVENTS).await == 0 {
                return Vec::new();
            }
            let mut events = Vec::new();
            for Told { event, then } in told.drain(..) {
                events.extend(event);
                self.then.extend(then);
            }
            if !events.is_empty() {
                return events;
            }
        }
    }
}
