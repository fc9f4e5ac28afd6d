//! An answer on its way from a provider to the caller: every piece as it comes, nothing held back.
//!
//! Dropping it, because the caller went away, closes the connection to the provider. A silent stream of events is kept
//! alive with comments, since proxies and clients on the way take a connection for dead after a minute; a comment goes
//! between two events only. Silence of the provider itself ends the stream after a while.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use mesh_mcp::headers::EVENT_STREAM;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::AttemptError;
use crate::patience::Pace;
use crate::places::{Held, Streaming};
use crate::pool::Content;

/// What is sent into a silent stream of events: a comment, which clients ignore.
pub const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// What goes wrong with a body on its way.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An answer on its way.
#[derive(Debug)]
pub struct Relay {
    content: Content,
    pace: Pace,
    /// Where the stream stands, when comments can be sent into it.
    boundary: Option<Boundary>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// When the silence began; none while pieces come.
    silent_since: Option<Instant>,
    /// When something was sent into the silence.
    commented: Option<Instant>,
    ends: Option<Instant>,
    _places: Places,
}

/// What an answer occupies until it has ended. Held, not read.
#[derive(Debug)]
enum Places {
    Call { _held: Held },
    Stream { _streaming: Streaming },
}

/// Whether a stream of events stands between two events: what it ended with.
#[derive(Debug)]
struct Boundary([u8; 4]);

// === impl Relay ===

impl Relay {
    /// Passes on the body of `response`, which occupies the places `held`.
    pub fn new(response: Response<Content>, pace: Pace, held: Held) -> (http::response::Parts, Self) {
        let (head, content) = response.into_parts();
        let is_stream = is_event_stream(&head.headers);
        let can_comment = is_stream
            && !head.headers.contains_key(CONTENT_LENGTH)
            && !head.headers.contains_key(CONTENT_ENCODING);
        let places = if is_stream {
            Places::Stream { _streaming: held.stream() }
        } else {
            Places::Call { _held: held }
        };
        let relay = Self {
            content,
            pace,
            boundary: can_comment.then(Boundary::default),
            alarm: None,
            silent_since: None,
            commented: None,
            ends: None,
            _places: places,
        };
        (head, relay)
    }

    /// Waits in silence: sends a comment now and then, and gives up in the end.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, AttemptError>> {
        loop {
            let now = Instant::now();
            let since = *self.silent_since.get_or_insert(now);
            let ends = *self.ends.get_or_insert(now + self.pace.limits.longest);
            let idle = since + self.pace.limits.idle;
            let comment = self.boundary.as_ref().filter(|boundary| boundary.is_here());
            let comment = comment.map(|_| self.commented.unwrap_or(since) + self.pace.keep_alive);
            if now >= ends {
                return Poll::Ready(Err(AttemptError::TimedOut));
            }
            if now >= idle {
                return Poll::Ready(Err(AttemptError::Stalled(self.pace.limits.idle)));
            }
            if comment.is_some_and(|at| now >= at) {
                self.commented = Some(now);
                return Poll::Ready(Ok(COMMENT));
            }
            let wake = comment.map_or(idle, |at| at.min(idle)).min(ends);
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(wake)));
            if alarm.deadline() != wake {
                alarm.as_mut().reset(wake);
            }
            ready!(alarm.as_mut().poll(context));
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.content).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                (this.silent_since, this.commented) = (None, None);
                if let (Some(boundary), Some(piece)) = (&mut this.boundary, frame.data_ref()) {
                    boundary.pass(piece);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(fault))) => Poll::Ready(Some(Err(fault.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let comment = ready!(this.poll_silence(context));
                Poll::Ready(Some(comment.map(Frame::data).map_err(BodyError::from)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.boundary.is_some() { SizeHint::default() } else { self.content.size_hint() }
    }
}

// === impl Boundary ===

impl Default for Boundary {
    /// The beginning of a stream is a boundary as well.
    fn default() -> Self {
        Self(*b"\n\n\n\n")
    }
}

impl Boundary {
    fn pass(&mut self, piece: &[u8]) {
        let last = &piece[piece.len().saturating_sub(4)..];
        self.0.rotate_left(last.len());
        self.0[4 - last.len()..].copy_from_slice(last);
    }

    fn is_here(&self) -> bool {
        self.0 == *b"\r\n\r\n" || self.0.ends_with(b"\n\n") || self.0.ends_with(b"\r\r")
    }
}

/// Whether an answer is a stream of server-sent events.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type
        .split(';')
        .next()
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_boundary_is_where_an_event_has_ended(stream in "(data: x|\r\n|\n|\r|:){0,12}", size in 1usize..6) {
            let mut boundary = Boundary::default();
            stream.as_bytes().chunks(size).for_each(|piece| boundary.pass(piece));
            let is_end = ["\n\n", "\r\r", "\r\n\r\n"].iter().any(|end| format!("\n\n{stream}").ends_with(end));
            prop_assert_eq!(boundary.is_here(), is_end);
        }
    }
}
