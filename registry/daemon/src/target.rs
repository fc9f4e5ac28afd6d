//! Lets request targets through that are written the way people write them: `/agents?version_constraint=>1.0.0`.
//!
//! RFC 3986 forbids `<`, `>` and `"` in a URI, so hyper refuses a request that has them raw. Command-line clients
//! send them all the same. [`TargetEscaper`] follows a connection's HTTP/1 requests just far enough to know which
//! bytes are request lines, and percent-encodes those three there. Where it cannot follow (HTTP/2, chunked bodies,
//! anything odd) it stops looking for good: a request is then at worst refused, never changed in the wrong place.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest header line that is looked at; the headers that matter here are far shorter.
const MAX_LINE: usize = 256;

/// A connection whose incoming request targets are escaped.
#[derive(Debug)]
pub struct EscapedTargets<Io> {
    io: Io,
    escaper: TargetEscaper,
    /// Escaped bytes for which the reader had no room yet.
    pending: Bytes,
}

/// Follows the bytes that a client sends and escapes request targets among them.
#[derive(Debug)]
pub struct TargetEscaper {
    state: State,
    body: Body,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RequestLine,
    Headers,
    Body(u64),
    /// Not followed any more.
    Opaque,
}

/// What the headers so far say about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Length(u64),
    Unknown,
}

// === impl TargetEscaper ===

impl Default for TargetEscaper {
    fn default() -> Self {
        Self { state: State::RequestLine, body: Body::None, line: Vec::new() }
    }
}

impl TargetEscaper {
    /// Takes the next bytes of the connection; `None` means that they pass as they are.
    pub fn pass(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut escaped: Option<Vec<u8>> = None;
        let mut rest = bytes;
        while !rest.is_empty() && self.state != State::Opaque {
            let (part, after) = self.next_part(rest);
            if self.state == State::RequestLine && part.iter().any(|&byte| is_forbidden(byte)) {
                let unchanged = &bytes[..bytes.len() - rest.len()];
                escape(part, escaped.get_or_insert_with(|| unchanged.to_vec()));
            } else if let Some(escaped) = &mut escaped {
                escaped.extend_from_slice(part);
            }
            self.advance(part);
            rest = after;
        }
        if let Some(escaped) = &mut escaped {
            escaped.extend_from_slice(rest);
        }
        escaped
    }

    /// Splits off what belongs to the current line or body.
    fn next_part<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let end = match self.state {
            State::Body(left) => usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()),
            _ => memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1),
        };
        bytes.split_at(end)
    }

    fn advance(&mut self, part: &[u8]) {
        if let State::Body(left) = self.state {
            let left = left - part.len() as u64;
            self.state = if left == 0 { State::RequestLine } else { State::Body(left) };
            return;
        }
        if self.line.is_empty() && part.ends_with(b"\n") {
            // Nearly all headers: they begin with a letter, and with another one than those that matter.
            if self.state == State::Headers && part[0].is_ascii_alphabetic() && !may_matter(part) {
                return;
            }
            return self.end_line(part[..part.len().min(MAX_LINE)].trim_ascii_end());
        }
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if part.ends_with(b"\n") {
            let line = std::mem::take(&mut self.line);
            self.end_line(line.trim_ascii_end());
            self.line = line;
            self.line.clear();
        }
    }

    fn end_line(&mut self, line: &[u8]) {
        self.state = match self.state {
            // Empty lines before a request are allowed (RFC 9112, 2.2).
            State::RequestLine if line.is_empty() => State::RequestLine,
            State::RequestLine if line.starts_with(b"PRI * HTTP/2") || line.starts_with(b"CONNECT ") => {
                State::Opaque
            }
            State::RequestLine => State::Headers,
            State::Headers if line.is_empty() => match std::mem::replace(&mut self.body, Body::None) {
                Body::None | Body::Length(0) => State::RequestLine,
                Body::Length(length) => State::Body(length),
                Body::Unknown => State::Opaque,
            },
            State::Headers => {
                self.body = body_after(self.body, line);
                State::Headers
            }
            state => state,
        };
    }
}

/// Whether a header may say something about the body, by its first letter.
fn may_matter(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b'u' | b'U'))
}

/// What is known about the body after one more header line.
fn body_after(body: Body, line: &[u8]) -> Body {
    if !may_matter(line) {
        return body;
    }
    let Some(colon) = memchr::memchr(b':', line) else { return Body::Unknown };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if name.eq_ignore_ascii_case(b"content-length") {
        let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        return match (body, length) {
            (Body::None, Some(length)) => Body::Length(length),
            _ => Body::Unknown,
        };
    }
    let unfollowed = name.eq_ignore_ascii_case(b"transfer-encoding") || name.eq_ignore_ascii_case(b"upgrade");
    if unfollowed { Body::Unknown } else { body }
}

fn is_forbidden(byte: u8) -> bool {
    matches!(byte, b'<' | b'>' | b'"')
}

fn escape(part: &[u8], into: &mut Vec<u8>) {
    for &byte in part {
        match byte {
            b'<' => into.extend_from_slice(b"%3C"),
            b'>' => into.extend_from_slice(b"%3E"),
            b'"' => into.extend_from_slice(b"%22"),
            _ => into.push(byte),
        }
    }
}

// === impl EscapedTargets ===

impl<Io> EscapedTargets<Io> {
    /// Wraps a fresh connection.
    pub fn new(io: Io) -> Self {
        Self { io, escaper: TargetEscaper::default(), pending: Bytes::new() }
    }

    fn deliver(&mut self, buf: &mut ReadBuf<'_>) {
        let now = self.pending.len().min(buf.remaining());
        buf.put_slice(&self.pending[..now]);
        self.pending.advance(now);
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for EscapedTargets<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        if this.pending.is_empty() {
            let before = buf.filled().len();
            std::task::ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            if let Some(escaped) = this.escaper.pass(&buf.filled()[before..]) {
                buf.set_filled(before);
                this.pending = escaped.into();
            }
        }
        this.deliver(buf);
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for EscapedTargets<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes out when `sent` arrives in pieces of `size` bytes.
    fn pass(sent: &str, size: usize) -> String {
        let mut escaper = TargetEscaper::default();
        let pieces = sent.as_bytes().chunks(size);
        let out: Vec<u8> =
            pieces.flat_map(|piece| escaper.pass(piece).unwrap_or_else(|| piece.to_vec())).collect();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_raw_constraint_is_escaped_in_the_target_and_nowhere_else() {
        let head = "GET /agents?version_constraint=>1.0.0 HTTP/1.1\r\nHost: <h>\r\n\r\n";
        let post = "POST /x?a=\"b\" HTTP/1.1\r\nContent-Length: 5\r\n\r\n<\"\n>\nGET /< HTTP/1.1\r\n\r\n";
        let expected = "GET /agents?version_constraint=%3E1.0.0 HTTP/1.1\r\nHost: <h>\r\n\r\n\
                        POST /x?a=%22b%22 HTTP/1.1\r\nContent-Length: 5\r\n\r\n<\"\n>\nGET /%3C HTTP/1.1\r\n\r\n";
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(pass(&format!("{head}{post}"), size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_cannot_be_followed_passes_untouched() {
        for sent in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n<>\n<>",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<>\n\r\n0\r\n\r\nGET /< HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n<GET /<\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +x\r\n\r\n<GET /<\r\n",
        ] {
            assert_eq!(pass(sent, 5), sent);
        }
    }

    #[tokio::test]
    async fn a_reader_without_room_gets_the_rest_later() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(b"GET /<<<< HTTP/1.1\r\n\r\n").await.unwrap();
        drop(client);
        let mut server = EscapedTargets::new(server);
        let (mut all, mut piece) = (Vec::new(), [0; 3]);
        while let n @ 1.. = server.read(&mut piece).await.unwrap() {
            all.extend_from_slice(&piece[..n]);
        }
        assert_eq!(all, b"GET /%3C%3C%3C%3C HTTP/1.1\r\n\r\n");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_pieces_make_no_difference(sent in "[GET/ <>\"\r\n:a0-9]{0,200}", size in 1usize..20) {
            prop_assert_eq!(pass(&sent, size), pass(&sent, 1000));
        }
    }
}
