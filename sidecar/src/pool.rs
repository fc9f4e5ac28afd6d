//! HTTP/1.1 connections to one endpoint: kept while they are fresh, opened when there is none.
//!
//! A connection is dropped after 3 s without use, before common servers close it at 5 s; at their limit 5 % of calls
//! failed. A connection whose answer was not read to its end is closed.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connection::{Connection, Unanswered};
use crate::dial::{Address, Dialer};
use crate::error::AttemptError;
use crate::request::Request;
use crate::wire::WireError;

/// Time without use after which a connection is not used again.
const IDLE_LIMIT: Duration = Duration::from_secs(3);
/// Idle connections kept for one endpoint.
const MAX_IDLE: usize = 32;

/// The connections to one endpoint.
pub struct Pool {
    address: Address,
    dialer: Dialer,
    most: usize,
    idle: Mutex<Vec<Idle>>,
    /// Shared with every connection that is open, and counts them by that.
    open: Arc<()>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// The body of an answer. Its connection is kept for another request once the body was read to its end, and closed when
/// it is dropped before.
pub struct Content(Source);

enum Source {
    /// A connection that whoever reads drives.
    Here(Lease),
    /// A connection that goes on by itself, and hands over what comes.
    Beside(mpsc::Receiver<Result<Bytes, WireError>>),
    /// Everything has been read.
    Ended,
}

struct Lease {
    connection: Box<Connection>,
    pool: Arc<Pool>,
}

// === impl Pool ===

impl Pool {
    /// The pool of the endpoint at `address`, with so many connections at most, those in use included.
    pub fn new(address: Address, dialer: Dialer, most: usize) -> Arc<Self> {
        Arc::new(Self { address, dialer, most, idle: Mutex::default(), open: Arc::default() })
    }

    /// The endpoint's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Why the endpoint will never be called, if that is certain.
    pub fn refusal(&self) -> Option<AttemptError> {
        self.dialer.refusal(&self.address)
    }

    /// Finds out whether somebody listens.
    ///
    /// # Errors
    /// When nobody does.
    pub async fn reach(&self) -> Result<(), AttemptError> {
        self.dialer.reach(&self.address).await.map(drop)
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// [`AttemptError`], which says whether the request left.
    pub async fn send(self: &Arc<Self>, mut request: Request) -> Result<Response<Content>, AttemptError> {
        // A kept connection may have been closed by the peer in the meantime. A request that did not leave on it is
        // sent on the next one; the last is a new connection.
        while let Some(kept) = self.take_idle() {
            match self.exchange(kept, request).await {
                Ok(response) => return Ok(response),
                Err((fault, None)) => return Err(AttemptError::Broken(fault)),
                Err((_, Some(unsent))) => request = unsent,
            }
        }
        // Boxed, so that the rare way does not make the future of every call larger.
        let fresh = Box::pin(self.connect()).await?;
        self.exchange(fresh, request).await.map_err(|(fault, unsent)| match unsent {
            Some(_) => AttemptError::Unsent(fault),
            None => AttemptError::Broken(fault),
        })
    }

    /// Closes connections that were not used for a while. Without it they would stay until the next request.
    pub fn sweep(&self) {
        self.idle().retain(Idle::is_fresh);
    }

    async fn exchange(
        self: &Arc<Self>,
        mut connection: Box<Connection>,
        request: Request,
    ) -> Result<Response<Content>, Unanswered> {
        let response = connection.exchange(request).await?;
        let lease = Lease { connection, pool: Arc::clone(self) };
        Ok(response.map(|()| Content(lease.source())))
    }

    fn take_idle(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle();
        while let Some(one) = idle.pop() {
            if one.is_fresh() {
                return Some(one.connection);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Box<Connection>, AttemptError> {
        let open = Arc::clone(&self.open);
        if Arc::strong_count(&open) > self.most.saturating_add(1) {
            return Err(AttemptError::Crowded(self.most));
        }
        let stream = self.dialer.open(&self.address).await?;
        Ok(Box::new(Connection::over(stream, open)))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Idle ===

impl Idle {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < IDLE_LIMIT
    }
}

// === impl Content ===

impl Body for Content {
    type Data = Bytes;
    type Error = WireError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WireError>>> {
        let piece = ready!(match &mut self.0 {
            Source::Here(lease) => lease.connection.poll_piece(context),
            Source::Beside(pieces) => pieces.poll_recv(context),
            Source::Ended => Poll::Ready(None),
        });
        let has_ended = match (&self.0, &piece) {
            (_, None | Some(Err(_))) => true,
            (Source::Here(lease), _) => lease.connection.answer().has_ended(),
            (Source::Beside(_) | Source::Ended, _) => false,
        };
        if has_ended {
            self.end();
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Here(lease) => lease.connection.answer().has_ended(),
            Source::Beside(_) => false,
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Here(lease) => {
                lease.connection.answer().left().map(SizeHint::with_exact).unwrap_or_default()
            }
            Source::Beside(_) => SizeHint::default(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Content {
    /// Nothing comes any more.
    fn end(&mut self) {
        if let Source::Here(lease) = std::mem::replace(&mut self.0, Source::Ended) {
            lease.give_back();
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // An answer without a body has been read to its end without being asked for a piece.
        if self.is_end_stream() {
            self.end();
        }
    }
}

// === impl Lease ===

impl Lease {
    /// What the answer is read from. Somebody who reads it slowly must not hold up a request that is still on its way, so
    /// that goes on by itself.
    fn source(self) -> Source {
        if !self.connection.is_sending() {
            return Source::Here(self);
        }
        let (tell, pieces) = mpsc::channel(1);
        tokio::spawn(self.go_on(tell));
        Source::Beside(pieces)
    }

    /// Sends the request to its end and hands over the answer, until nobody wants it any more.
    async fn go_on(mut self, tell: mpsc::Sender<Result<Bytes, WireError>>) {
        let connection = &mut self.connection;
        loop {
            let room = tokio::select! {
                biased;
                room = tell.reserve() => room,
                () = poll_fn(|context| connection.poll_sent(context)), if connection.is_sending() => continue,
            };
            let Ok(room) = room else { return };
            let piece = tokio::select! {
                biased;
                piece = poll_fn(|context| connection.poll_piece(context)) => piece,
                () = tell.closed() => return,
            };
            match piece {
                Some(Ok(piece)) => room.send(Ok(piece)),
                Some(Err(fault)) => return room.send(Err(fault)),
                None => return self.give_back(),
            }
        }
    }

    fn give_back(self) {
        if !self.connection.is_reusable() {
            return;
        }
        let mut idle = self.pool.idle();
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection: self.connection, since: Instant::now() });
        }
    }
}

// === impl Debug ===

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("address", &self.address).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}
