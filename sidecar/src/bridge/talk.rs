//! One conversation with a running program: many requests at once over one line, each under a number of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use mesh_mcp::front::relay::ask::Ask;
use mesh_mcp::front::relay::nature::{FIRST_ASK, LISTENING, Nature};
use mesh_mcp::front::relay::said::{Kind, List, Said};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, mpsc};

use crate::speech::US;

/// Lines that wait to be written; a program that does not read makes requests wait in front of them.
const TO_WRITE: usize = 64;
/// Messages that wait for a client that reads slowly. Of more, what says how far a request is gets lost, and a client that
/// listens to changes has to listen again.
const TO_READ: usize = 64;
/// Changes of lists that wait for a client.
const CHANGES: usize = 16;
/// What is told when the program has ended.
const BROKE_OFF: &str = "the agent ended before it answered; it may have carried out the request";
/// What is told when the client has said that it does not wait any more.
const CANCELLED: &str = "the client has cancelled the request";

/// A conversation.
#[derive(Debug)]
pub struct Talk {
    /// What the program said of itself.
    pub nature: Nature,
    to_write: mpsc::Sender<Vec<u8>>,
    next: AtomicU64,
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    changes: Mutex<Option<broadcast::Sender<List>>>,
}

/// Who waits for an answer.
#[derive(Debug)]
struct Waiting {
    tell: mpsc::Sender<Heard>,
    listens: bool,
    /// By which the client can cancel it.
    name: Name,
}

/// What a client is told.
pub type Heard = Result<Said, &'static str>;

/// By which a client knows its request: its session, if it has one, and the id that it gave.
#[derive(Debug, Clone)]
pub struct Name {
    /// The session of a client of an older revision.
    pub session: Option<HeaderValue>,
    /// The id.
    pub id: Box<RawValue>,
}

/// A request that is under way. When it is dropped before its answer came, the program is told that nobody waits.
#[derive(Debug)]
pub struct Asked {
    talk: Arc<Talk>,
    number: u64,
    heard: mpsc::Receiver<Heard>,
    is_over: bool,
}

/// The conversation is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

// === impl Talk ===

impl Talk {
    /// A conversation with a program that said `nature` of itself, and the lines that are to be written to it.
    pub fn begin(nature: Nature) -> (Arc<Self>, mpsc::Receiver<Vec<u8>>) {
        let (to_write, lines) = mpsc::channel(TO_WRITE);
        let talk = Self {
            nature,
            to_write,
            next: AtomicU64::new(FIRST_ASK),
            waiting: Mutex::new(Some(HashMap::new())),
            changes: Mutex::new(Some(broadcast::channel(CHANGES).0)),
        };
        (Arc::new(talk), lines)
    }

    /// Asks the program.
    ///
    /// # Errors
    /// When the conversation is over: nothing was sent.
    pub async fn ask(self: &Arc<Self>, ask: &Ask, session: Option<HeaderValue>) -> Result<Asked, Over> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, heard) = mpsc::channel(TO_READ);
        let name = Name { session, id: ask.id().to_owned() };
        let waiting = Waiting { tell, listens: ask.listens(), name };
        lock(&self.waiting).as_mut().ok_or(Over)?.insert(number, waiting);
        let asked = Asked { talk: Arc::clone(self), number, heard, is_over: false };
        // A line that was taken may have been written: from here on the request may be carried out.
        self.to_write.send(ask.line(number, US)).await.map_err(|_| Over)?;
        Ok(asked)
    }

    /// Changes of lists that everybody is told of, from now on.
    ///
    /// # Errors
    /// When the conversation is over.
    pub fn follow(&self) -> Result<broadcast::Receiver<List>, Over> {
        lock(&self.changes).as_ref().map(broadcast::Sender::subscribe).ok_or(Over)
    }

    /// A client says that it does not wait any more. Ids of clients without sessions may be alike; then nothing is done.
    pub fn cancel(&self, name: &Name) {
        let mut waiting = lock(&self.waiting);
        let Some(waiting) = waiting.as_mut() else { return };
        let mut meant = waiting.iter().filter(|(_, one)| one.name.is(name)).map(|(number, _)| *number);
        let (Some(number), None) = (meant.next(), meant.next()) else { return };
        if let Some(waiting) = waiting.remove(&number) {
            waiting.tell.try_send(Err(CANCELLED)).ok();
            self.write(Ask::cancellation(number));
        }
    }

    /// Takes what the program said to whoever it is for.
    pub fn hear(&self, said: Said) {
        match &said.kind {
            Kind::Answer(number, _) => {
                // A late answer to what was cancelled is for nobody.
                let waiting = lock(&self.waiting).as_mut().and_then(|waiting| waiting.remove(number));
                waiting.map(|waiting| waiting.tell.try_send(Ok(said)));
            }
            // What a current program tells us is for clients of older revisions, which cannot ask it themselves.
            Kind::Note(LISTENING, _, list) => list.iter().for_each(|list| self.changed(*list)),
            Kind::Note(number, ..) => self.note(*number, said),
            Kind::Changed(list) => self.changed(*list),
            Kind::Asked(reply) => self.write(reply.clone()),
            Kind::Other => {}
        }
    }

    /// One place is left free for the answer.
    fn note(&self, number: u64, said: Said) {
        let mut table = lock(&self.waiting);
        let Some(waiting) = table.as_mut().and_then(|table| table.get(&number)) else { return };
        if waiting.tell.capacity() > 1 {
            waiting.tell.try_send(Ok(said)).ok();
        } else if waiting.listens {
            table.as_mut().map(|table| table.remove(&number));
            self.write(Ask::cancellation(number));
        }
    }

    fn changed(&self, list: List) {
        if let Some(changes) = lock(&self.changes).as_ref() {
            // Perhaps nobody listens.
            changes.send(list).ok();
        }
    }

    /// Writes what nobody waits for; a program that does not read does not get it.
    fn write(&self, line: Vec<u8>) {
        if self.to_write.try_send(line).is_err() {
            tracing::debug!(
                "our agent does not read, or has ended; something that nobody waits for is not written"
            );
        }
    }

    /// Ends the conversation: whoever waits is told so.
    pub fn end(&self) {
        let waiting = lock(&self.waiting).take().unwrap_or_default();
        for waiting in waiting.into_values() {
            waiting.tell.try_send(Err(BROKE_OFF)).ok();
        }
        lock(&self.changes).take();
    }
}

// === impl Name ===

impl Name {
    fn is(&self, other: &Self) -> bool {
        self.session == other.session && self.id.get() == other.id.get()
    }
}

// === impl Asked ===

impl Asked {
    /// What the program says next; an error when there is no answer to come.
    pub async fn heard(&mut self) -> Heard {
        let heard = self.heard.recv().await.unwrap_or(Err(BROKE_OFF));
        self.is_over = match &heard {
            Ok(said) => matches!(said.kind, Kind::Answer(..)),
            Err(_) => true,
        };
        heard
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let waiting = lock(&self.talk.waiting).as_mut().and_then(|waiting| waiting.remove(&self.number));
        if waiting.is_some() {
            self.talk.write(Ask::cancellation(self.number));
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
