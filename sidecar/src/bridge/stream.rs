//! Answers as they come: whole, or as a stream of events that lasts as long as there is something to tell.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use mesh_mcp::front::relay::ask::Ask;
use mesh_mcp::front::relay::listening::Listening;
use mesh_mcp::front::relay::said::{Kind, List};
use mesh_mcp::sse::{COMMENT, event};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::talk::Asked;
use crate::told::{Body, Fault, streamed, whole};

/// A request whose answer is a stream.
#[derive(Debug)]
pub struct Telling {
    /// The request.
    pub ask: Ask,
    /// The same under way.
    pub asked: Asked,
    /// The place that it takes.
    pub place: OwnedSemaphorePermit,
    /// Silence after which there is a comment.
    pub keep_alive: Duration,
    /// When it is over, whatever there is still to tell.
    pub ends: Instant,
    /// Cancelled when we leave: whoever only listens is let go.
    pub leaving: CancellationToken,
}

/// A client that listens to changes of lists.
#[derive(Debug)]
pub struct Following {
    /// What it is told.
    pub listening: Listening,
    /// What changes.
    pub changes: Receiver<List>,
    /// The place that it takes.
    pub place: OwnedSemaphorePermit,
    /// Silence after which there is a comment.
    pub keep_alive: Duration,
    /// When it is over, whatever there is still to tell.
    pub ends: Instant,
    /// Cancelled when we leave: whoever only listens is let go.
    pub leaving: CancellationToken,
}

// === impl Telling ===

impl Telling {
    /// Waits for the first thing that the program says: an answer is given whole, anything else begins a stream. One that is
    /// silent for long begins with a comment. A client that takes no streams gets the answer alone.
    pub async fn begin(mut self, takes_streams: bool) -> Response<Body> {
        let first = loop {
            let heard = match timeout(self.keep_alive, self.asked.heard()).await {
                Ok(heard) => heard,
                Err(_) if takes_streams => break COMMENT,
                Err(_) => continue,
            };
            match heard {
                Ok(said) if matches!(said.kind, Kind::Answer(..)) => return whole(self.ask.answer(&said)),
                Ok(said) => match self.ask.note(&said) {
                    Some(note) if takes_streams => break event("message", &note),
                    _ => {}
                },
                Err(reason) => return whole(self.ask.failure(reason)),
            }
        };
        streamed(first, self, Self::next)
    }

    /// The next piece, and what is left to tell after it.
    async fn next(mut self) -> Option<(Result<Bytes, Fault>, Option<Self>)> {
        loop {
            if Instant::now() >= self.ends {
                return None;
            }
            let heard = tokio::select! {
                biased;
                () = self.leaving.cancelled(), if self.ask.listens() => {
                    return Some((Ok(event("message", &self.ask.end())), None));
                }
                heard = timeout(self.keep_alive, self.asked.heard()) => heard,
            };
            let Ok(heard) = heard else { return Some((Ok(COMMENT), Some(self))) };
            match heard {
                Ok(said) if matches!(said.kind, Kind::Answer(..)) => {
                    return Some((Ok(event("message", &self.ask.answer(&said).message)), None));
                }
                Ok(said) => {
                    if let Some(note) = self.ask.note(&said) {
                        return Some((Ok(event("message", &note)), Some(self)));
                    }
                }
                // Without a result, so that the client listens again.
                Err(_) if self.ask.listens() => return None,
                // Half an answer is not ended as a whole one.
                Err(reason) => return Some((Err(reason.into()), None)),
            }
        }
    }
}

// === impl Following ===

impl Following {
    /// Tells of every change until the program ends, or we leave.
    pub fn begin(self) -> Response<Body> {
        let first = self.listening.opening().map_or(COMMENT, |opening| event("message", &opening));
        streamed(first, self, Self::next)
    }

    async fn next(mut self) -> Option<(Result<Bytes, Fault>, Option<Self>)> {
        loop {
            if Instant::now() >= self.ends {
                return None;
            }
            let list = tokio::select! {
                biased;
                () = self.leaving.cancelled() => {
                    return self.listening.end().map(|end| (Ok(event("message", &end)), None));
                }
                changed = timeout(self.keep_alive, self.changes.recv()) => match changed {
                    Err(_) => return Some((Ok(COMMENT), Some(self))),
                    // The program has ended, or the client reads too slowly to be told of every change. It listens again
                    // and looks at everything.
                    Ok(Err(RecvError::Closed | RecvError::Lagged(_))) => return None,
                    Ok(Ok(list)) => list,
                },
            };
            if let Some(notice) = self.listening.notice(list) {
                return Some((Ok(event("message", &notice)), Some(self)));
            }
        }
    }
}
