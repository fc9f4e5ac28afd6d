//! One HTTP/1.1 connection to an endpoint, driven by whoever waits for it.
//!
//! Built on hyper's connection API, because only that says for certain whether a request left: a request that comes
//! back unsent may be sent again, whatever it does. hyper's connection is a future. As a task of its own it would cost
//! every call several switches between two tasks; the call that waits for an answer, or reads it, drives it instead. A
//! call that goes away takes its connection with it, which is how a peer learns of that.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::dial::Stream;
use crate::replay::{BodyFault, Replayed};

/// An open connection. Dropping it closes it.
pub struct Connection {
    sender: SendRequest<Payload>,
    /// None once it has ended, or has a task of its own.
    driver: Option<Box<Driver>>,
}

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Payload>;

/// The body of a request to an endpoint.
#[derive(Debug)]
pub enum Payload {
    /// What is there already; none once it was given.
    Whole(Option<Bytes>),
    /// What comes from a caller.
    Streamed(Replayed),
}

/// A request that failed; it is here again if nothing of it left.
pub type Unanswered = (hyper::Error, Option<Request<Payload>>);

// === impl Connection ===

impl Connection {
    /// Speaks HTTP over `stream`.
    ///
    /// # Errors
    /// hyper's.
    pub async fn over(stream: Box<dyn Stream>) -> Result<Self, hyper::Error> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Some(Box::new(driver)) })
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// What happened, with the request when it did not leave.
    pub async fn exchange(&mut self, request: Request<Payload>) -> Result<Response<Incoming>, Unanswered> {
        if let Err(fault) = poll_fn(|context| self.poll_ready(context)).await {
            return Err((fault, Some(request)));
        }
        let mut answer = pin!(self.sender.try_send_request(request));
        let answer = poll_fn(|context| {
            self.drive(context);
            answer.as_mut().poll(context)
        });
        answer.await.map_err(|mut fault| {
            let unsent = fault.take_message();
            (fault.into_error(), unsent)
        })
    }

    /// Goes on by itself from now on: somebody who reads the answer slowly must not hold up a request that is still on
    /// its way.
    pub fn go_on(&mut self) {
        if let Some(driver) = self.driver.take() {
            // Its errors reach whoever reads the answer.
            tokio::spawn(async move { driver.await.ok() });
        }
    }

    /// The next piece of the answer's `body`.
    pub fn poll_answer(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut *body).poll_frame(context);
        if frame.is_ready() || self.driver.is_none() {
            return frame;
        }
        self.drive(context);
        Pin::new(body).poll_frame(context)
    }

    /// Whether it takes another request, now that the answer to the last one has been read to its end.
    pub fn is_reusable(&mut self) -> bool {
        if self.driver.is_some() && !self.sender.is_ready() {
            // What the peer may have said last, such as that it closes the connection. Nobody waits for more.
            self.drive(&mut Context::from_waker(Waker::noop()));
            return self.sender.is_ready();
        }
        self.is_open()
    }

    /// Whether it has not been closed, as far as anybody has looked.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        if !self.sender.is_ready() {
            self.drive(context);
        }
        self.sender.poll_ready(context)
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(context).is_ready()
        {
            self.driver = None;
        }
    }
}

// === impl Payload ===

impl Body for Payload {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}
