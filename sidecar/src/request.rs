//! A request to an endpoint, ready to be sent as often as nothing of it has left.

use bytes::Bytes;
use http::Method;
use http_body::Body as _;

use crate::replay::Replayed;
use crate::wire::{Extent, RequestHead};

/// A request to an endpoint.
#[derive(Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// All that stands before the body.
    pub head: Bytes,
    /// How the end of the body is told.
    pub extent: Extent,
    /// The body.
    pub body: Payload,
}

/// The body of a request to an endpoint.
#[derive(Debug)]
pub enum Payload {
    /// What is there already.
    Whole(Bytes),
    /// What comes from a caller.
    Streamed(Replayed),
}

// === impl Request ===

impl Request {
    /// A request that begins with `head`.
    pub fn new(head: RequestHead, body: Payload) -> Self {
        let extent = match &body {
            Payload::Whole(bytes) if bytes.is_empty() => Extent::Nothing,
            Payload::Whole(bytes) => Extent::Length(bytes.len() as u64),
            Payload::Streamed(body) if body.is_end_stream() => Extent::Nothing,
            Payload::Streamed(body) => body.size_hint().exact().map_or(Extent::Chunks, Extent::Length),
        };
        let (method, head) = head.end(extent);
        Self { method, head, extent, body }
    }
}
