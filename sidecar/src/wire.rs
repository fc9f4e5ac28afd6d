//! HTTP/1.1 as it stands on a connection: how a request is written, and what can go wrong.

use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::replay::BodyFault;

/// Longest head of an answer, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// Bytes that are usually added to a head that was begun before.
const ADDED: usize = 384;

/// What goes wrong on a connection.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer closed the connection.
    #[error("the provider closed the connection")]
    Closed,
    /// The peer said something before it was asked.
    #[error("the provider spoke before it was asked, as no HTTP server does")]
    Unasked,
    /// The caller's body failed.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// The caller's body has another length than it said.
    #[error("the body of the request has another length than it said")]
    Length,
    /// What came is no head of an answer.
    #[error("the head of the answer is not HTTP: {0}")]
    Head(httparse::Error),
    /// The head has no end.
    #[error("the head of the answer is longer than {} bytes", MAX_HEAD)]
    LongHead,
    /// It cannot be said where the answer ends.
    #[error("the answer does not say clearly where it ends")]
    Unbounded,
    /// What should separate two chunks does not.
    #[error("the chunks of the answer are not HTTP")]
    Chunks,
}

/// How the end of a request's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// There is none.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Chunk by chunk.
    Chunks,
}

/// The head of a request as it goes out, but for its end: that says where the body ends.
#[derive(Debug)]
pub struct RequestHead {
    method: Method,
    text: BytesMut,
}

/// What stands before a chunk of so many bytes.
pub fn chunk_line(length: usize) -> Bytes {
    format!("{length:x}\r\n").into()
}

/// What a number is written as.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[first..];
        }
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// A request of `target`'s path and query.
    pub fn new(method: Method, target: &Uri) -> Self {
        let mut text = BytesMut::with_capacity(1_024);
        text.put_slice(method.as_str().as_bytes());
        text.put_u8(b' ');
        text.put_slice(target.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
        text.put_slice(b" HTTP/1.1\r\n");
        Self { method, text }
    }

    /// The same once more, with room for the headers that are usually added.
    pub fn copy(&self) -> Self {
        let mut text = BytesMut::with_capacity(self.text.len() + ADDED);
        text.put_slice(&self.text);
        Self { method: self.method.clone(), text }
    }

    /// Adds a header, unless it would say where the body ends.
    pub fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            self.put(name, value.as_bytes());
        }
    }

    /// Adds a header with a number.
    pub fn add_number(&mut self, name: &HeaderName, number: u64) {
        let mut digits = [0; 20];
        self.put(name, decimal(number, &mut digits));
    }

    /// Its method, and all of it, with a body of this extent.
    pub fn end(mut self, extent: Extent) -> (Method, Bytes) {
        match extent {
            Extent::Nothing if !matches!(self.method, Method::POST | Method::PUT | Method::PATCH) => {}
            Extent::Nothing => self.put(&CONTENT_LENGTH, b"0"),
            Extent::Length(length) => self.add_number(&CONTENT_LENGTH, length),
            Extent::Chunks => self.put(&TRANSFER_ENCODING, b"chunked"),
        }
        self.text.put_slice(b"\r\n");
        (self.method, self.text.freeze())
    }

    fn put(&mut self, name: &HeaderName, value: &[u8]) {
        self.text.put_slice(name.as_str().as_bytes());
        self.text.put_slice(b": ");
        self.text.put_slice(value);
        self.text.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 7, 10, 1_234_567_890, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_request_says_where_its_body_ends_whatever_its_headers_say() {
        let write = |method: Method, extent| {
            let mut head = RequestHead::new(method, &"/a?b=c".parse().unwrap());
            head.add(&http::header::HOST, &HeaderValue::from_static("h"));
            head.add(&CONTENT_LENGTH, &HeaderValue::from_static("99"));
            head.add(&TRANSFER_ENCODING, &HeaderValue::from_static("gzip"));
            String::from_utf8(head.end(extent).1.to_vec()).unwrap()
        };
        assert_eq!(write(Method::GET, Extent::Nothing), "GET /a?b=c HTTP/1.1\r\nhost: h\r\n\r\n");
        let post = "POST /a?b=c HTTP/1.1\r\nhost: h\r\n";
        assert_eq!(write(Method::POST, Extent::Nothing), format!("{post}content-length: 0\r\n\r\n"));
        assert_eq!(write(Method::POST, Extent::Length(7)), format!("{post}content-length: 7\r\n\r\n"));
        assert_eq!(write(Method::POST, Extent::Chunks), format!("{post}transfer-encoding: chunked\r\n\r\n"));
    }
}
