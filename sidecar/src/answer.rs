//! How an answer is read from a connection.
//!
//! Pure: bytes in, pieces out. hyper's client does the same and more, in tasks and channels between them that cost a call as
//! much as everything else that the sidecar does for it. RFC 9112 is taken strictly where leniency would leave open where an
//! answer ends.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use httparse::ParserConfig;

use crate::wire::{MAX_HEAD, WireError};

/// Most headers of an answer.
const MAX_HEADERS: usize = 128;
/// Longest line around a chunk, and most bytes of trailers.
const MAX_LINE: usize = 8 * 1024;

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Status and headers.
    pub response: Response<()>,
    /// Reads what follows.
    pub body: Decoder,
    /// Whether the connection can be used again after it.
    pub keeps_alive: bool,
}

/// Reads the body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoder {
    /// So many bytes are left.
    Length(u64),
    /// Everything until the connection is closed.
    UntilClosed,
    /// The line before a chunk comes next.
    ChunkLine,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    /// The line end after a chunk comes next.
    ChunkEnd,
    /// Trailers come, of which there were so many bytes.
    Trailers(usize),
}

/// What a decoder finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A piece of the body.
    Data(Bytes),
    /// The end of the body.
    End,
    /// Nothing, before more has come.
    Missing,
}

// === impl Head ===

impl Head {
    /// Takes the head of the answer to a request with `method` from `buffer`, when all of it is there.
    ///
    /// # Errors
    /// When it is no HTTP.
    pub fn take(buffer: &mut BytesMut, method: &Method) -> Result<Option<Self>, WireError> {
        if buffer.is_empty() {
            return Ok(None);
        }
        let text = buffer.split().freeze();
        let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut []);
        let status = ParserConfig::default()
            .parse_response_with_uninit_headers(&mut parsed, &text, &mut fields)
            .map_err(WireError::Head)?;
        let (httparse::Status::Complete(end), Some(code)) = (status, parsed.code) else {
            let is_long = text.len() > MAX_HEAD;
            *buffer = text.try_into_mut().unwrap_or_else(|text| BytesMut::from(&text[..]));
            return if is_long { Err(WireError::LongHead) } else { Ok(None) };
        };
        // What stands behind the head is where it would be if only the head had been taken.
        buffer.extend_from_slice(&text[end..]);
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(code).map_err(|_| WireError::Head(httparse::Error::Status))?;
        *response.version_mut() = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
        *response.headers_mut() = read_headers(&text, parsed.headers)?;
        let (body, is_clear) = Decoder::of(&mut response, method)?;
        // After 101 another protocol would be spoken, which nobody asked for.
        let is_http = !response.status().is_informational();
        let keeps_alive = is_http && is_clear && body != Decoder::UntilClosed && keeps_alive(&response);
        Ok(Some(Self { response, body, keeps_alive }))
    }
}

fn read_headers(text: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, WireError> {
    let mut headers = HeaderMap::with_capacity(fields.len() + 2);
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| WireError::Head(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_maybe_shared(text.slice_ref(field.value))
            .map_err(|_| WireError::Head(httparse::Error::HeaderValue))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn keeps_alive(response: &Response<()>) -> bool {
    if !response.headers().contains_key(CONNECTION) {
        return response.version() != Version::HTTP_10;
    }
    let named = |token: &str| {
        let values = response.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    match response.version() {
        Version::HTTP_10 => named("keep-alive") && !named("close"),
        _ => !named("close"),
    }
}

// === impl Decoder ===

impl Decoder {
    /// The decoder of the body of `response`, which answers a request with `method` (RFC 9112, section 6.3), and whether
    /// the answer leaves no doubt about it.
    fn of(response: &mut Response<()>, method: &Method) -> Result<(Self, bool), WireError> {
        let status = response.status();
        let is_empty = *method == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if is_empty {
            return Ok((Self::Length(0), true));
        }
        let codings = response.headers().contains_key(TRANSFER_ENCODING);
        let codings = codings.then(|| response.headers().get_all(TRANSFER_ENCODING));
        let Some(last) = codings.and_then(|codings| codings.iter().next_back()) else {
            let length = content_length(response.headers())?;
            return Ok((length.map_or(Self::UntilClosed, Self::Length), true));
        };
        if response.version() == Version::HTTP_10 {
            return Err(WireError::Unbounded);
        }
        let last = last.to_str().ok().and_then(|codings| codings.rsplit(',').next());
        let is_chunked = last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
        // The length is not true then, and whoever gets the answer from us must not believe it.
        let is_clear = response.headers_mut().remove(CONTENT_LENGTH).is_none();
        Ok((if is_chunked { Self::ChunkLine } else { Self::UntilClosed }, is_clear))
    }

    /// The next piece in `buffer`.
    ///
    /// # Errors
    /// When the chunks are none.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Piece, WireError> {
        loop {
            match self {
                Self::Length(0) => return Ok(Piece::End),
                _ if buffer.is_empty() => return Ok(Piece::Missing),
                Self::UntilClosed => return Ok(Piece::Data(buffer.split().freeze())),
                Self::Length(left) => return Ok(Piece::Data(take_of(left, buffer))),
                Self::Chunk(left) => {
                    let data = take_of(left, buffer);
                    if *left == 0 {
                        *self = Self::ChunkEnd;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::ChunkLine | Self::ChunkEnd | Self::Trailers(_) => {
                    let Some(line) = take_line(buffer)? else { return Ok(Piece::Missing) };
                    self.pass(&line)?;
                }
            }
        }
    }

    /// The connection was closed: whether that is the end of the body.
    pub fn close(&mut self) -> bool {
        if *self == Self::UntilClosed {
            *self = Self::Length(0);
        }
        self.has_ended()
    }

    /// Whether nothing comes any more.
    pub fn has_ended(&self) -> bool {
        *self == Self::Length(0)
    }

    /// How much is to come, if that is known.
    pub fn left(&self) -> Option<u64> {
        if let Self::Length(left) = self { Some(*left) } else { None }
    }

    /// Goes on after a line that stands outside of the chunks.
    fn pass(&mut self, line: &[u8]) -> Result<(), WireError> {
        *self = match *self {
            Self::ChunkLine => match chunk_length(line)? {
                0 => Self::Trailers(0),
                length => Self::Chunk(length),
            },
            Self::ChunkEnd if line.is_empty() => Self::ChunkLine,
            Self::Trailers(_) if line.is_empty() => Self::Length(0),
            Self::Trailers(before) if before + line.len() <= MAX_LINE => Self::Trailers(before + line.len()),
            _ => return Err(WireError::Chunks),
        };
        Ok(())
    }
}

/// As much of `left` bytes as has come. Something has.
fn take_of(left: &mut u64, buffer: &mut BytesMut) -> Bytes {
    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= now as u64;
    buffer.split_to(now).freeze()
}

/// The next line without its end, when all of it is there.
fn take_line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, WireError> {
    let Some(newline) = memchr::memchr(b'\n', buffer) else {
        return if buffer.len() > MAX_LINE { Err(WireError::Chunks) } else { Ok(None) };
    };
    let mut line = buffer.split_to(newline + 1);
    if newline > MAX_LINE || !line.ends_with(b"\r\n") {
        return Err(WireError::Chunks);
    }
    line.truncate(newline - 1);
    Ok(Some(line))
}

/// The length that the line before a chunk gives; what else stands there means nothing to us.
fn chunk_length(line: &[u8]) -> Result<u64, WireError> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = line[digits..].trim_ascii_start();
    if digits == 0 || !matches!(rest.first(), None | Some(b';')) {
        return Err(WireError::Chunks);
    }
    let digits = std::str::from_utf8(&line[..digits]).map_err(|_| WireError::Chunks)?;
    u64::from_str_radix(digits, 16).map_err(|_| WireError::Chunks)
}

/// What `Content-Length` says; the same several times is as good as once.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, WireError> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for one in value.to_str().map_err(|_| WireError::Unbounded)?.split(',').map(str::trim) {
            let is_number = !one.is_empty() && one.bytes().all(|byte| byte.is_ascii_digit());
            let number = one.parse::<u64>().ok().filter(|_| is_number).ok_or(WireError::Unbounded)?;
            if length.is_some_and(|length| length != number) {
                return Err(WireError::Unbounded);
            }
            length = Some(number);
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::chunk_line;

    /// Everything that is read from `text` when it comes in pieces of these sizes, the last of them over and over.
    fn read(method: &Method, text: &[u8], pieces: &[usize]) -> Result<(Head, Vec<u8>, Vec<u8>), WireError> {
        let (mut buffer, mut left, mut sizes) = (BytesMut::new(), text, pieces.iter().cycle());
        let mut come = |buffer: &mut BytesMut| {
            let now = sizes.next().copied().unwrap_or(1).clamp(1, left.len().max(1)).min(left.len());
            buffer.put_slice(&left[..now]);
            left = &left[now..];
            now > 0
        };
        let mut head = loop {
            match Head::take(&mut buffer, method)? {
                Some(head) => break head,
                None if come(&mut buffer) => {}
                None => return Err(WireError::Closed),
            }
        };
        let mut body = Vec::new();
        loop {
            match head.body.take(&mut buffer)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End => break,
                Piece::Missing if come(&mut buffer) => {}
                Piece::Missing if head.body.close() => break,
                Piece::Missing => return Err(WireError::Closed),
            }
        }
        let rest = [&buffer[..], left].concat();
        Ok((head, body, rest))
    }

    fn answer(text: &str) -> Result<(Head, Vec<u8>, Vec<u8>), WireError> {
        read(&Method::POST, text.as_bytes(), &[text.len()])
    }

    fn body(text: &str) -> String {
        String::from_utf8(answer(text).unwrap().1).unwrap()
    }

    #[test]
    fn the_end_of_an_answer_is_where_it_says() {
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcd"), "ab");
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nab"), "ab");
        assert_eq!(body("HTTP/1.1 200 OK\r\n\r\nabcd"), "abcd");
        assert_eq!(body("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nabcd"), "");
        assert_eq!(body("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\nabcd"), "");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";
        assert_eq!(
            body(&format!("{chunked}2\r\nab\r\nA;x=y\r\ncdefghijkl\r\n0\r\nt: 1\r\n\r\n")),
            "abcdefghijkl"
        );
        let to_head = read(&Method::HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", &[9]).unwrap();
        assert!(to_head.1.is_empty() && to_head.0.response.headers()["content-length"] == "2");
        assert_eq!(body("HTTP/1.1 200 OK\nContent-Length: 2\n\nab"), "ab", "bare line ends");
    }

    #[test]
    fn what_leaves_the_end_open_is_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "<html>\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA",
            "",
        ] {
            assert!(answer(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_with_two_lengths_ends_with_its_chunks_and_its_connection_is_given_up() {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        let (head, body, rest) = answer(text).unwrap();
        assert!(body == b"a" && rest.is_empty() && !head.keeps_alive);
        assert!(!head.response.headers().contains_key(CONTENT_LENGTH));
    }

    #[test]
    fn a_connection_is_kept_as_the_answer_says() {
        let keeps =
            |head: &str| answer(&format!("{head}\r\nContent-Length: 0\r\n\r\n")).unwrap().0.keeps_alive;
        assert!(keeps("HTTP/1.1 200 OK") && keeps("HTTP/1.0 200 OK\r\nConnection: Keep-Alive"));
        assert!(!keeps("HTTP/1.1 200 OK\r\nConnection: x, Close") && !keeps("HTTP/1.0 200 OK"));
        assert!(!answer("HTTP/1.1 200 OK\r\n\r\n").unwrap().0.keeps_alive);
        assert!(!keeps("HTTP/1.1 101 Another protocol"));
    }

    #[test]
    fn endless_heads_lines_and_trailers_are_refused() {
        let long = "x".repeat(MAX_HEAD + 1);
        assert!(matches!(answer(&format!("HTTP/1.1 200 OK\r\nA: {long}")), Err(WireError::LongHead)));
        let many: String = (0..=MAX_HEADERS).map(|i| format!("a{i}: b\r\n")).collect();
        assert!(matches!(answer(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")), Err(WireError::Head(_))));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let trailers = "a: bcdefghijklmnop\r\n".repeat(MAX_LINE / 16);
        for endless in
            [format!("1;{long}"), format!("0\r\n{trailers}\r\n"), format!("1;{long}\r\na\r\n0\r\n\r\n")]
        {
            assert!(matches!(answer(&format!("{chunked}{endless}")), Err(WireError::Chunks)));
        }
    }

    /// An answer in chunks, and its body.
    fn chunked(pieces: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
        let mut text = BytesMut::from(&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..]);
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            text.put_slice(&chunk_line(piece.len()));
            text.put_slice(piece);
            text.put_slice(b"\r\n");
        }
        text.put_slice(b"0\r\n\r\n");
        (text.to_vec(), pieces.concat())
    }

    proptest! {
        #[test]
        fn an_answer_reads_the_same_however_it_is_cut(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
            cuts in prop::collection::vec(1usize..30, 1..8),
            after in "[a-z]{0,5}",
        ) {
            let (text, whole) = chunked(&pieces);
            let text = [&text[..], after.as_bytes()].concat();
            let (head, body, rest) = read(&Method::GET, &text, &cuts).unwrap();
            prop_assert_eq!(body, whole.clone());
            prop_assert_eq!(rest, after.as_bytes());
            prop_assert!(head.keeps_alive);
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", whole.len());
            let text = [text.as_bytes(), &whole, after.as_bytes()].concat();
            let (_, body, rest) = read(&Method::GET, &text, &cuts).unwrap();
            prop_assert_eq!(body, whole);
            prop_assert_eq!(rest, after.as_bytes());
        }

        #[test]
        fn rubbish_is_refused_or_read_and_never_panics(
            head in "(HTTP/1.[01] [0-9]{2,4} [a-z]{0,3}\r?\n)?((content-length|transfer-encoding|connection|x): ?(chunked|close|[0-9, ]{0,4})\r?\n){0,3}(\r?\n)?",
            tail in prop::collection::vec(prop_oneof![Just(b'0'), Just(b'a'), Just(b'\r'), Just(b'\n'), Just(b';'), any::<u8>()], 0..60),
            cuts in prop::collection::vec(1usize..30, 1..8),
        ) {
            let text = [head.as_bytes(), &tail].concat();
            let whole = read(&Method::GET, &text, &[text.len().max(1)]).map(|read| (read.1, read.2));
            let cut = read(&Method::GET, &text, &cuts).map(|read| (read.1, read.2));
            prop_assert_eq!(whole.is_ok(), cut.is_ok());
            if let (Ok(whole), Ok(cut)) = (whole, cut) {
                prop_assert_eq!(whole, cut);
            }
        }
    }
}
