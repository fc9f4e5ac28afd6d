//! An answer on its way from a provider to the caller: every piece as it comes, nothing held back.
//!
//! Dropping it, because the caller went away, closes the connection to the provider. A silent stream of events is kept
//! alive with comments, since proxies and clients on the way take a connection for dead after a minute; a comment goes
//! between two events only. Silence of the provider itself ends the stream after a while.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use mesh_mcp::headers::EVENT_STREAM;
use mesh_mcp::sse::COMMENT;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::AttemptError;
use crate::patience::Limits;
use crate::pool::Content;

/// What goes wrong with a body on its way.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An answer on its way.
#[derive(Debug)]
pub struct Relay {
    content: Content,
    limits: Limits,
    /// The comments that are sent into it, if any can be.
    comments: Option<Comments>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// When the silence began; none while pieces come.
    silent_since: Option<Instant>,
    /// When something was sent into the silence.
    commented: Option<Instant>,
    ends: Option<Instant>,
}

/// When a stream of events gets a comment.
#[derive(Debug)]
struct Comments {
    /// The silence before each.
    after: Duration,
    boundary: Boundary,
}

/// Whether a stream of events stands between two events: what it ended with.
#[derive(Debug)]
struct Boundary([u8; 4]);

// === impl Relay ===

impl Relay {
    /// Passes on the body of an answer.
    pub fn new(content: Content, limits: Limits) -> Self {
        Self { content, limits, comments: None, alarm: None, silent_since: None, commented: None, ends: None }
    }

    /// The same with comments after such a silence, if the stream of events with these headers can take some.
    #[must_use]
    pub fn kept_alive(self, after: Duration, headers: &HeaderMap) -> Self {
        let can_comment = !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(CONTENT_ENCODING);
        let comments = can_comment.then(|| Comments { after, boundary: Boundary::default() });
        Self { comments, ..self }
    }

    /// Waits in silence: sends a comment now and then, and gives up in the end.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, AttemptError>> {
        loop {
            let now = Instant::now();
            let since = *self.silent_since.get_or_insert(now);
            let ends = *self.ends.get_or_insert(now + self.limits.longest);
            let idle = since + self.limits.idle;
            let comments = self.comments.as_ref().filter(|comments| comments.boundary.is_here());
            let comment = comments.map(|comments| self.commented.unwrap_or(since) + comments.after);
            if now >= ends {
                return Poll::Ready(Err(AttemptError::TimedOut));
            }
            if now >= idle {
                return Poll::Ready(Err(AttemptError::Stalled(self.limits.idle)));
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
                if let (Some(comments), Some(piece)) = (&mut this.comments, frame.data_ref()) {
                    comments.boundary.pass(piece);
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
        if self.comments.is_some() { SizeHint::default() } else { self.content.size_hint() }
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
