//! A call as a stream of events: what the provider says on the way, and the result at the end.
//!
//! `message` carries a JSON-RPC message of the provider as it came, such as its progress; then comes one `result` with the
//! result of the tool, or one `error` with the body that a failed call has. As long as the provider has said nothing, a
//! failure is an HTTP error like that of any other call; a caller that waits long in silence is answered with comments,
//! and then an error is an event.
//!
//! The call lives in the body of its answer: a caller that goes away drops it, which cancels it at the provider.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mesh_mcp::sse::{COMMENT, event};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};

/// Messages of a provider that wait for the caller to take them. Then the provider waits as well.
pub const NOTES: usize = 16;

/// What a call ends with.
#[derive(Debug)]
pub struct Ending {
    /// `result` or `error`.
    pub event: &'static str,
    /// Its data, in one line; when there are none, there is no event.
    pub data: Bytes,
}

/// A call that is still going on, or what it ended with.
pub type Calling<T> = BoxFuture<'static, T>;

/// How a call has begun.
pub enum Begun<T> {
    /// It has come to its end already.
    Ended(T),
    /// It goes on, and its caller should hear so.
    GoesOn {
        /// The rest of it.
        calling: Calling<T>,
        /// What happens meanwhile.
        notes: mpsc::Receiver<Bytes>,
        /// What has happened so far; nothing when it is the silence that has lasted.
        first: Option<Bytes>,
    },
}

/// The events of a call.
pub struct Events {
    calling: Option<Calling<Ending>>,
    notes: mpsc::Receiver<Bytes>,
    /// What happened before the stream began.
    first: Option<Bytes>,
    keep_alive: Duration,
    alarm: Pin<Box<Sleep>>,
}

/// Waits until `calling` has ended, or something has happened that its caller should hear, or it was silent for `silence`.
pub async fn begin<T: Send + 'static>(
    mut calling: Calling<T>,
    mut notes: mpsc::Receiver<Bytes>,
    silence: Duration,
) -> Begun<T> {
    let first = tokio::select! {
        biased;
        Some(note) = notes.recv() => Some(note),
        ended = &mut calling => match notes.try_recv() {
            // What the provider said on the way came together with its last word.
            Ok(note) => {
                calling = Box::pin(std::future::ready(ended));
                Some(note)
            }
            Err(_) => return Begun::Ended(ended),
        },
        () = sleep(silence) => None,
    };
    Begun::GoesOn { calling, notes, first }
}

impl Events {
    /// The events of a call that goes on in `calling` and says in `notes` what happens; `first` has happened already.
    pub fn new(
        calling: Calling<Ending>,
        notes: mpsc::Receiver<Bytes>,
        first: Option<Bytes>,
        keep_alive: Duration,
    ) -> Self {
        let first = Some(first.map_or(COMMENT, |note| event("message", &note)));
        Self { calling: Some(calling), notes, first, keep_alive, alarm: Box::pin(sleep(keep_alive)) }
    }

    /// The next piece of the stream; `None` at its end.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let piece = match self.first.take() {
            Some(first) => Some(first),
            None => ready!(self.poll_event(context)),
        };
        self.alarm.as_mut().reset(Instant::now() + self.keep_alive);
        Poll::Ready(piece)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(calling) = &mut self.calling else { return Poll::Ready(None) };
        // The call first: it is what brings notes.
        let ending = calling.as_mut().poll(context);
        if let Poll::Ready(Some(note)) = self.notes.poll_recv(context) {
            if let Poll::Ready(ending) = ending {
                self.calling = Some(Box::pin(std::future::ready(ending)));
            }
            return Poll::Ready(Some(event("message", &note)));
        }
        if let Poll::Ready(ending) = ending {
            self.calling = None;
            let is_said = !ending.data.is_empty();
            return Poll::Ready(is_said.then(|| event(ending.event, &ending.data)));
        }
        self.alarm.as_mut().poll(context).map(|()| Some(COMMENT))
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn ending() -> Ending {
        Ending { event: "result", data: Bytes::from_static(b"{}") }
    }

    async fn read(mut events: Events) -> Vec<String> {
        let mut pieces = Vec::new();
        while let Some(piece) = poll_fn(|context| events.poll_piece(context)).await {
            pieces.push(String::from_utf8(piece.to_vec()).unwrap());
        }
        pieces
    }

    #[tokio::test(start_paused = true)]
    async fn notes_come_before_the_ending_and_comments_fill_the_silence() {
        let (tell, notes) = mpsc::channel(4);
        let calling: Calling<Ending> = Box::pin(async move {
            sleep(Duration::from_secs(40)).await;
            tell.send(Bytes::from_static(b"{\"n\":1}")).await.unwrap();
            ending()
        });
        let pieces = read(Events::new(calling, notes, None, Duration::from_secs(15))).await;
        let comment = ": keep-alive\n\n";
        let expected =
            [comment, comment, comment, "event: message\ndata: {\"n\":1}\n\n", "event: result\ndata: {}\n\n"];
        assert_eq!(pieces, expected);
    }
}
