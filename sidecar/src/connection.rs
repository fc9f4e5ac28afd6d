//! One HTTP/1.1 connection to an endpoint, driven by whoever waits for it.
//!
//! It says for certain whether anything of a request has left: a request that comes back unsent may be sent again,
//! whatever it does. A call that goes away takes its connection with it, which is how a peer learns of that.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use tokio_util::io::poll_read_buf;

use crate::answer::{Decoder, Head, Piece};
use crate::dial::Stream;
use crate::request::{Payload, Request};
use crate::wire::{Extent, WireError, chunk_line};

/// Room for what comes next, in bytes; more is made when less than an eighth of it is left.
const ROOM: usize = 8 * 1024;

/// An open connection. Dropping it closes it.
pub struct Connection {
    stream: Box<dyn Stream>,
    /// What came and was not read yet.
    came: BytesMut,
    /// The request, until all of it was sent.
    sending: Option<Sending>,
    /// Why the request cannot be sent to its end.
    broken: Option<WireError>,
    answer: Decoder,
    keeps_alive: bool,
    _counted: Arc<()>,
}

/// A request that failed; it is here again if nothing of it left.
pub type Unanswered = (WireError, Option<Request>);

/// A request on its way.
struct Sending {
    request: Request,
    /// What goes out next: what stands before a piece of the body, the piece, and what stands behind it.
    before: Bytes,
    piece: Bytes,
    behind: &'static [u8],
    /// What comes then.
    rest: Extent,
    /// Whether it can be sent from its beginning: no byte can have left, and nothing was taken of a caller's body.
    is_untouched: bool,
    /// Whether the head waits a moment for the beginning of the body, so that both leave at once.
    is_held: bool,
}

// === impl Connection ===

impl Connection {
    /// Speaks HTTP over `stream`, and holds `counted` for as long as it is open.
    pub fn over(stream: Box<dyn Stream>, counted: Arc<()>) -> Self {
        Self {
            stream,
            came: BytesMut::new(),
            sending: None,
            broken: None,
            answer: Decoder::Length(0),
            keeps_alive: true,
            _counted: counted,
        }
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// What happened, with the request when nothing of it left.
    pub async fn exchange(&mut self, request: Request) -> Result<Response<()>, Unanswered> {
        // Whatever it says before it is asked, it is of no use: mostly a kept connection that was closed meanwhile.
        match poll_fn(|context| Poll::Ready(self.poll_more(context))).await {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) => return Err((WireError::Closed, Some(request))),
            Poll::Ready(Ok(_)) => return Err((WireError::Unasked, Some(request))),
            Poll::Ready(Err(fault)) => return Err((fault.into(), Some(request))),
        }
        let method = request.method.clone();
        self.sending = Some(Sending::of(request));
        match poll_fn(|context| self.poll_head(&method, context)).await {
            Ok(Head { response, body, keeps_alive }) => {
                (self.answer, self.keeps_alive) = (body, keeps_alive);
                Ok(response)
            }
            Err(fault) => {
                let unsent = self.sending.take().filter(|sending| sending.is_untouched);
                Err((fault, unsent.map(|sending| sending.request)))
            }
        }
    }

    /// The next piece of the answer's body. Sends on what is left of the request meanwhile.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, WireError>>> {
        let _ = self.poll_sent(context);
        if let Some(fault) = self.broken.take_if(|fault| !is_of_peer(fault)) {
            return Poll::Ready(Some(Err(fault)));
        }
        loop {
            match self.answer.take(&mut self.came) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::Missing) => {}
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
            match ready!(self.poll_more(context)) {
                Ok(0) if self.answer.close() => return Poll::Ready(None),
                Ok(0) => return Poll::Ready(Some(Err(WireError::Closed))),
                Ok(_) => {}
                Err(fault) => return Poll::Ready(Some(Err(fault.into()))),
            }
        }
    }

    /// Sends what is left of the request: ready when nothing is, or when it cannot be sent.
    pub fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sending) = self.sending.as_mut().filter(|_| self.broken.is_none()) else {
            return Poll::Ready(());
        };
        match ready!(sending.poll_out(self.stream.as_mut(), context)) {
            Ok(()) => self.sending = None,
            Err(fault) => self.broken = Some(fault),
        }
        Poll::Ready(())
    }

    /// What is to come of the answer.
    pub fn answer(&self) -> &Decoder {
        &self.answer
    }

    /// Whether the request is still on its way.
    pub fn is_sending(&self) -> bool {
        self.sending.is_some() && self.broken.is_none()
    }

    /// Whether it takes another request: all was sent and read, and the peer keeps it open.
    pub fn is_reusable(&self) -> bool {
        self.keeps_alive && self.sending.is_none() && self.answer.has_ended() && self.came.is_empty()
    }

    fn poll_head(&mut self, method: &Method, context: &mut Context<'_>) -> Poll<Result<Head, WireError>> {
        let _ = self.poll_sent(context);
        // A peer that takes no more may have said why. Nothing else that breaks a request leaves something to wait for.
        let is_untouched = self.sending.as_ref().is_some_and(|sending| sending.is_untouched);
        if let Some(fault) = self.broken.take_if(|fault| is_untouched || !is_of_peer(fault)) {
            return Poll::Ready(Err(fault));
        }
        loop {
            match Head::take(&mut self.came, method)? {
                // Something on the way to the answer.
                Some(head) if is_interim(head.response.status()) => continue,
                Some(head) => return Poll::Ready(Ok(head)),
                None => {}
            }
            let fault = match ready!(self.poll_more(context)) {
                Ok(1..) => continue,
                Ok(0) => WireError::Closed,
                Err(fault) => fault.into(),
            };
            return Poll::Ready(Err(self.broken.take().unwrap_or(fault)));
        }
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.came.capacity() - self.came.len() < ROOM / 8 {
            self.came.reserve(ROOM);
        }
        poll_read_buf(Pin::new(self.stream.as_mut()), context, &mut self.came)
    }
}

fn is_of_peer(fault: &WireError) -> bool {
    matches!(fault, WireError::Io(_))
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

// === impl Sending ===

impl Sending {
    fn of(request: Request) -> Self {
        let (rest, piece) = match &request.body {
            Payload::Whole(bytes) => (Extent::Nothing, bytes.clone()),
            Payload::Streamed(_) => (request.extent, Bytes::new()),
        };
        let (before, is_held) = (request.head.clone(), rest != Extent::Nothing);
        Self { request, before, piece, behind: b"", rest, is_untouched: true, is_held }
    }

    fn poll_out(
        &mut self,
        stream: &mut dyn Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WireError>> {
        let mut stream = Pin::new(stream);
        if std::mem::take(&mut self.is_held) && self.poll_piece(context)?.is_pending() {
            // Looked at once more, and then it goes out alone: who sends the body may wait for an answer to the head.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            while !(self.before.is_empty() && self.piece.is_empty() && self.behind.is_empty()) {
                // What fails here may have left in part: with TLS nobody can tell.
                self.is_untouched = false;
                if ready!(self.poll_write(stream.as_mut(), context))? == 0 {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
                }
            }
            if self.rest == Extent::Nothing {
                return stream.poll_flush(context).map_err(WireError::from);
            }
            ready!(self.poll_piece(context))?;
        }
    }

    fn poll_write(
        &mut self,
        stream: Pin<&mut dyn Stream>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let out = [IoSlice::new(&self.before), IoSlice::new(&self.piece), IoSlice::new(self.behind)];
        let written = ready!(stream.poll_write_vectored(context, &out))?;
        (&mut self.before).chain(&mut self.piece).chain(&mut self.behind).advance(written);
        Poll::Ready(Ok(written))
    }

    /// Takes the next piece of the caller's body.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let frame = match &mut self.request.body {
            Payload::Whole(_) => None,
            Payload::Streamed(body) => ready!(Pin::new(body).poll_frame(context)).transpose()?,
        };
        self.is_untouched = false;
        let piece = frame.map(|frame| frame.into_data().unwrap_or_default());
        let length = piece.as_ref().map_or(0, Bytes::len) as u64;
        match (&mut self.rest, piece) {
            (_, Some(piece)) if piece.is_empty() => {}
            (Extent::Chunks, Some(piece)) => {
                self.line_before(chunk_line(piece.len()));
                (self.piece, self.behind) = (piece, b"\r\n");
            }
            (Extent::Chunks, None) => {
                self.line_before(Bytes::from_static(b"0\r\n\r\n"));
                self.rest = Extent::Nothing;
            }
            (Extent::Length(left), Some(piece)) if length <= *left => {
                *left -= length;
                self.piece = piece;
            }
            (Extent::Length(0) | Extent::Nothing, None) => self.rest = Extent::Nothing,
            (Extent::Length(_) | Extent::Nothing, _) => return Poll::Ready(Err(WireError::Length)),
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what stands before a piece behind what has not left yet, which can only be the head.
    fn line_before(&mut self, line: Bytes) {
        self.before =
            if self.before.is_empty() { line } else { [&self.before[..], &line[..]].concat().into() };
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Uri};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::wire::RequestHead;

    fn pair() -> (Connection, DuplexStream) {
        let (ours, theirs) = duplex(64 * 1024);
        (Connection::over(Box::new(ours), Arc::default()), theirs)
    }

    fn request(body: &'static str) -> Request {
        let mut head = RequestHead::new(Method::POST, &Uri::from_static("/mcp"));
        head.add(&http::header::HOST, &HeaderValue::from_static("h"));
        Request::new(head, Payload::Whole(Bytes::from_static(body.as_bytes())))
    }

    async fn body(connection: &mut Connection) -> Result<Vec<u8>, WireError> {
        let mut whole = Vec::new();
        while let Some(piece) = poll_fn(|context| connection.poll_piece(context)).await {
            whole.extend_from_slice(&piece?);
        }
        Ok(whole)
    }

    /// Takes one request and gives it `answer`.
    async fn serve(peer: &mut DuplexStream, answer: &str) -> String {
        let mut request = vec![0; 1_024];
        let length = peer.read(&mut request).await.unwrap();
        peer.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_connection_is_used_again_and_what_comes_on_the_way_is_no_answer() {
        let (mut connection, mut peer) = pair();
        for _ in 0..2 {
            let answer = "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let (response, request) =
                tokio::join!(connection.exchange(request("{}")), serve(&mut peer, answer));
            assert_eq!(request, "POST /mcp HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}");
            assert_eq!(response.unwrap().status(), StatusCode::OK);
            assert!(!connection.is_reusable());
            assert_eq!(body(&mut connection).await.unwrap(), b"ok");
            assert!(connection.is_reusable());
        }
    }

    #[tokio::test]
    async fn a_kept_connection_that_was_closed_or_said_something_gives_the_request_back() {
        for last_words in ["", "HTTP/1.1 408 Late\r\ncontent-length: 0\r\n\r\n"] {
            let (mut connection, mut peer) = pair();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let (response, _) = tokio::join!(connection.exchange(request("{}")), serve(&mut peer, answer));
            assert!(response.is_ok() && connection.is_reusable());
            peer.write_all(last_words.as_bytes()).await.unwrap();
            drop(peer);
            let (fault, unsent) = connection.exchange(request("{}")).await.unwrap_err();
            let expected = if last_words.is_empty() { "closed" } else { "before it was asked" };
            assert!(fault.to_string().contains(expected) && unsent.is_some(), "{last_words:?}: {fault}");
        }
    }

    #[tokio::test]
    async fn what_has_left_does_not_come_back() {
        for answer in ["", "HTTP/1.1 200 O", "<html>\r\n\r\n"] {
            let (mut connection, mut peer) = pair();
            let serving = async {
                serve(&mut peer, answer).await;
                drop(peer);
            };
            let (response, ()) = tokio::join!(connection.exchange(request("{}")), serving);
            assert!(response.unwrap_err().1.is_none(), "{answer:?}");
        }
        let (mut connection, peer) = pair();
        drop(peer);
        let (fault, unsent) = connection.exchange(request("{}")).await.unwrap_err();
        assert!(matches!(fault, WireError::Closed) && unsent.is_some());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_one_without_a_length_ends_with_the_connection() {
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", None),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\nok", Some(&b"ok"[..])),
        ];
        for (answer, expected) in cases {
            let (mut connection, mut peer) = pair();
            let (response, _) = tokio::join!(connection.exchange(request("{}")), serve(&mut peer, answer));
            assert!(response.is_ok());
            drop(peer);
            assert_eq!(body(&mut connection).await.ok().as_deref(), expected, "{answer}");
            assert!(!connection.is_reusable());
        }
    }
}
