//! The errand of `/call`: a tool call to one endpoint, in the way that endpoint wants to be spoken to.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use mesh_mcp::answer::AnswerReader;
use mesh_mcp::beside::Beside;
use mesh_mcp::call::{self, HANDSHAKE_ID, Post};
use mesh_mcp::error::RpcError;
use mesh_mcp::front::relay::said::{Kind, Said};
use mesh_mcp::message::ServerMessage;
use mesh_mcp::peer::Peer;
use mesh_mcp::raw::RawJson;
use mesh_mcp::tool_name::ToolName;
use tokio::sync::mpsc;

use crate::endpoint::{Endpoint, Manner};
use crate::errand::{Errand, Fallen, Stamp};
use crate::error::AttemptError;
use crate::patience::{Limits, Patience};
use crate::pool::Content;
use crate::request::{Payload, Request};
use crate::speech::{self, Heard, MAX_ANSWER, end_of_stream, exchange, next_piece, speak, unsent};

/// The next id of a call. One session of an older server carries many calls at once, and the server keeps them apart by
/// this number.
static NEXT_ID: AtomicU64 = AtomicU64::new(HANDSHAKE_ID + 1);

/// A call of the tool that offers a capability, or a question about the task that such a call has become.
#[derive(Debug)]
pub struct ToolCall {
    asked: Asked,
    /// In a box: most calls are made by our agent and have none, and a call is moved.
    beside: Option<Box<Beside>>,
    listening: Option<Listening>,
}

/// What the peer is asked.
#[derive(Debug)]
enum Asked {
    /// To execute the tool with these arguments.
    Call(RawJson),
    /// About a task.
    Task { method: String, id: String },
}

/// A caller that wants to hear what happens on the way to the answer.
#[derive(Debug)]
struct Listening {
    notes: mpsc::Sender<Bytes>,
    limits: Limits,
    wants_progress: bool,
    /// Whether it has heard something: from then on the call belongs to the provider that said it.
    has_begun: AtomicBool,
}

/// What the peer answered.
#[derive(Debug)]
pub enum Answer {
    /// The tool's result, byte for byte. It may report an error of the tool.
    Result(RawJson),
    /// The peer refused the call.
    Error(RpcError),
}

/// Tells an older server that nobody waits any more, unless the call came to an end. A current one sees the end of the
/// connection.
struct Cancel<'c> {
    endpoint: &'c Arc<Endpoint>,
    manner: &'c Manner,
    id: u64,
    is_due: bool,
}

// === impl ToolCall ===

impl ToolCall {
    /// A call whose answer is wanted as a whole.
    pub fn new(arguments: RawJson) -> Self {
        Self { asked: Asked::Call(arguments), beside: None, listening: None }
    }

    /// A question about the task `id`, whose parameters are in `beside`.
    pub fn about_task(method: &str, id: String, beside: Beside) -> Self {
        let asked = Asked::Task { method: method.to_owned(), id };
        Self { asked, beside: Some(Box::new(beside)), listening: None }
    }

    /// The same, with what a client said beside the tool and the arguments.
    #[must_use]
    pub fn with(self, beside: Beside) -> Self {
        Self { beside: Some(Box::new(beside)), ..self }
    }

    /// The same for a caller that also wants to hear what the server says on the way, message by message, and perhaps how
    /// far it is.
    #[must_use]
    pub fn listening(self, notes: mpsc::Sender<Bytes>, limits: Limits, wants_progress: bool) -> Self {
        let listening = Listening { notes, limits, wants_progress, has_begun: AtomicBool::new(false) };
        Self { listening: Some(listening), ..self }
    }

    async fn carry(
        &self,
        endpoint: &Arc<Endpoint>,
        tool: &ToolName,
        stamp: Stamp<'_>,
    ) -> Result<Answer, AttemptError> {
        let (manner, heard) = self.ask(endpoint, tool, stamp).await?;
        if !heard.is_of_a_new_life(&manner.form.peer) {
            return answer(heard);
        }
        // It did not take the call. Once more from the beginning.
        endpoint.manner.store(None);
        answer(Box::pin(self.ask(endpoint, tool, stamp)).await?.1)
    }

    /// Sends the call in the way that the endpoint wants to be spoken to.
    async fn ask(
        &self,
        endpoint: &Arc<Endpoint>,
        tool: &ToolName,
        stamp: Stamp<'_>,
    ) -> Result<(Arc<Manner>, Heard), AttemptError> {
        let manner = match endpoint.manner.load_full() {
            Some(manner) => manner,
            None => stamp.in_time(Box::pin(speak(endpoint))).await.map_err(unsent)?,
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let request = self.request(endpoint, &manner, tool, id, stamp);
        let mut cancel = Cancel { endpoint, manner: &manner, id, is_due: true };
        let outcome = self.hear((endpoint, &manner.form.peer), request, stamp).await;
        cancel.is_due = matches!(outcome, Err(AttemptError::TimedOut | AttemptError::Stalled(_)));
        drop(cancel);
        outcome.map(|heard| (manner, heard))
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        manner: &Manner,
        tool: &ToolName,
        id: u64,
        stamp: Stamp<'_>,
    ) -> Request {
        let (mut head, body) = match (&self.asked, &self.beside) {
            (Asked::Call(arguments), beside) => {
                let mut head = manner.head.copy();
                if let Some((name, value)) = manner.form.header(tool) {
                    head.add(&name, value);
                }
                for (name, value) in manner.form.param_headers(tool, arguments) {
                    head.add(&name, &value);
                }
                let wants_progress =
                    self.listening.as_ref().is_some_and(|listening| listening.wants_progress);
                let call = call::ToolCall { id, tool, arguments, wants_progress, beside: beside.as_deref() };
                (head, manner.form.fill(call))
            }
            (Asked::Task { method, id: task }, beside) => {
                let nothing = Beside::default();
                let post = manner.form.about_task(id, method, task, beside.as_deref().unwrap_or(&nothing));
                (speech::head(endpoint, &post.headers), post.body)
            }
        };
        stamp.write(&mut head);
        Request::new(head, Payload::Whole(body))
    }

    async fn hear(
        &self,
        whom: (&Arc<Endpoint>, &Peer),
        request: Request,
        stamp: Stamp<'_>,
    ) -> Result<Heard, AttemptError> {
        let mut patience = Patience::until(stamp.deadline, stamp.alarms);
        let (head, body) = patience.wait(pin!(exchange(whom.0, request))).await?.into_parts();
        let message = match self.read(whom, &head, body, &mut patience).await {
            // A refusal of HTTP without a JSON-RPC message in it.
            Err(AttemptError::Protocol(_)) if head.status.is_client_error() => None,
            outcome => outcome?,
        };
        Ok(Heard { head, message })
    }

    async fn read(
        &self,
        whom: (&Arc<Endpoint>, &Peer),
        head: &http::response::Parts,
        mut body: Content,
        patience: &mut Patience<'_>,
    ) -> Result<Option<ServerMessage>, AttemptError> {
        let mut reader = AnswerReader::begin(&head.headers).map_err(AttemptError::Protocol)?;
        let (mut size, mut notes) = (0, Vec::new());
        loop {
            let next = patience.wait(pin!(next_piece(&mut body))).await?;
            let Some(piece) = next else { return reader.finish().map_err(AttemptError::Protocol) };
            size += piece.len();
            // Of a stream each event is limited, and time limits the whole.
            if size > MAX_ANSWER && matches!(reader, AnswerReader::Json(_)) {
                return Err(AttemptError::TooLarge(MAX_ANSWER));
            }
            let message = reader.take(piece, |note| notes.push(note)).map_err(AttemptError::Protocol)?;
            notes.retain(|note| !is_answered(whom, note));
            if let Some(listening) = self.listening.as_ref().filter(|_| !notes.is_empty()) {
                listening.tell(&mut notes, patience).await;
            }
            notes.clear();
            if message.is_some() {
                end_of_stream(body);
                return Ok(message);
            }
        }
    }
}

impl Errand for ToolCall {
    type Answer = Answer;

    fn is_call_of(&self, _name: &str) -> bool {
        matches!(self.asked, Asked::Call(_))
    }

    fn can_race(&self) -> bool {
        self.listening.is_none() && matches!(self.asked, Asked::Call(_))
    }

    fn can_repeat(&self) -> bool {
        !self.listening.as_ref().is_some_and(|listening| listening.has_begun.load(Ordering::Relaxed))
    }

    async fn attempt(
        &self,
        endpoint: &Arc<Endpoint>,
        tool: &ToolName,
        stamp: Stamp<'_>,
    ) -> Result<Answer, Fallen<Answer>> {
        self.carry(endpoint, tool, stamp).await.map_err(Fallen::from)
    }
}

// === impl Listening ===

impl Listening {
    /// Passes on what the server said. A caller that takes it slowly slows the server down.
    async fn tell(&self, notes: &mut Vec<Bytes>, patience: &mut Patience<'_>) {
        self.has_begun.store(true, Ordering::Relaxed);
        for note in notes.drain(..) {
            // A caller that is gone takes this whole call with it.
            self.notes.send(note).await.ok();
        }
        patience.has_begun(self.limits);
    }
}

// === impl Cancel ===

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let (true, Peer::Handshaken { .. }) = (self.is_due, &self.manner.form.peer) else { return };
        speech::tell(self.endpoint, call::cancelled(&self.manner.form.peer, self.id), ());
    }
}

/// Answers what an older server asks on the way, such as whether anybody is there; whether it asked.
fn is_answered((endpoint, peer): (&Arc<Endpoint>, &Peer), note: &Bytes) -> bool {
    if *peer == Peer::Current {
        return false;
    }
    let Some(Said { kind: Kind::Asked(reply), .. }) = Said::read(note.clone()) else { return false };
    speech::tell(endpoint, Post { headers: peer.headers(""), body: reply.into() }, ());
    true
}

fn answer(heard: Heard) -> Result<Answer, AttemptError> {
    Ok(match heard.answer()? {
        Ok(result) => Answer::Result(result),
        Err(error) => Answer::Error(error),
    })
}
