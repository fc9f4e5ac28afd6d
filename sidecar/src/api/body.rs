//! The body of an answer. The hot routes avoid a box of their own for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as Boxed;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::events::Events;
use super::relay::{BodyError, Relay};
use crate::admission::Guest;
use crate::places::{Held, Streaming};
use crate::told;

/// The body of an answer.
#[derive(Debug)]
pub enum ReplyBody {
    /// What is there already; none once it was given.
    Whole(Option<Bytes>),
    /// What comes from a provider, or from our agent for a peer.
    Relayed(Relay, Occupied),
    /// What our agent says, in the words of another era. In a box, so that the answers of calls are not larger for it.
    Told(Box<told::Body>, Occupied),
    /// What happens during a call.
    Events(Box<Events>),
    /// What a handler of the router made.
    Other(Boxed),
}

/// What an answer occupies until it has ended. Held, not read.
#[derive(Debug)]
pub enum Occupied {
    /// The places of a call.
    Call(Held),
    /// That of a call that has become a stream.
    Stream(Streaming),
    /// A place at our agent.
    Guest(Guest),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relay, _) => Pin::new(relay).poll_frame(context),
            Self::Told(body, _) => Pin::new(&mut **body).poll_frame(context).map_err(BodyError::from),
            Self::Events(events) => {
                events.poll_piece(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
            Self::Other(body) => Pin::new(body).poll_frame(context).map_err(BodyError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Relayed(relay, _) => relay.is_end_stream(),
            Self::Told(body, _) => body.is_end_stream(),
            Self::Events(_) => false,
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relayed(relay, _) => relay.size_hint(),
            Self::Told(body, _) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

impl From<Vec<u8>> for ReplyBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(Some(bytes.into()))
    }
}
