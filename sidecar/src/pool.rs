//! HTTP/1.1 connections to one endpoint: kept while they are fresh, opened when there is none.
//!
//! A connection is dropped after 3 s without use, before common servers close it at 5 s; at their limit 5 % of calls
//! failed. A connection whose answer was not read to its end is closed.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::connection::{Connection, Payload, Unanswered};
use crate::dial::{Address, Dialer};
use crate::error::AttemptError;
use crate::replay::Replay;

/// Time without use after which a connection is not used again.
const IDLE_LIMIT: Duration = Duration::from_secs(3);
/// Idle connections kept for one endpoint.
const MAX_IDLE: usize = 32;
/// Connections to one endpoint, those in use included.
const MAX_OPEN: usize = 256;

/// The connections to one endpoint.
pub struct Pool {
    address: Address,
    dialer: Dialer,
    idle: Mutex<Vec<Idle>>,
    open: Arc<AtomicUsize>,
}

struct Idle {
    counted: Counted,
    since: Instant,
}

/// A connection, counted for as long as it is open.
struct Counted {
    connection: Connection,
    _open: Open,
}

/// Counts one for as long as it lives.
struct Open(Arc<AtomicUsize>);

/// The body of an answer. Its connection is kept for another request once the body was read to its end, and closed when
/// it is dropped before.
pub struct Content {
    body: Incoming,
    lease: Option<Lease>,
}

struct Lease {
    counted: Counted,
    pool: Arc<Pool>,
    /// The body of the request, when it may still be on its way.
    request: Option<Replay>,
}

// === impl Pool ===

impl Pool {
    /// The pool of the endpoint at `address`.
    pub fn new(address: Address, dialer: Dialer) -> Arc<Self> {
        Arc::new(Self { address, dialer, idle: Mutex::default(), open: Arc::default() })
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
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<Payload>,
    ) -> Result<Response<Content>, AttemptError> {
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
        mut counted: Counted,
        request: Request<Payload>,
    ) -> Result<Response<Content>, Unanswered> {
        let streamed = match request.body() {
            Payload::Whole(_) => None,
            Payload::Streamed(body) => Some(body.replay()),
        };
        let response = counted.connection.exchange(request).await?;
        if streamed.as_ref().is_some_and(|request| !request.has_ended()) {
            counted.connection.go_on();
        }
        let lease = Some(Lease { counted, pool: Arc::clone(self), request: streamed });
        Ok(response.map(|body| Content { body, lease }))
    }

    fn take_idle(&self) -> Option<Counted> {
        let mut idle = self.idle();
        while let Some(one) = idle.pop() {
            if one.is_fresh() {
                return Some(one.counted);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Counted, AttemptError> {
        let open = Open::count(&self.open)?;
        let stream = self.dialer.open(&self.address).await?;
        let connection = Connection::over(stream).await.map_err(AttemptError::Unsent)?;
        Ok(Counted { connection, _open: open })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Open ===

impl Open {
    fn count(open: &Arc<AtomicUsize>) -> Result<Self, AttemptError> {
        let this = Self(Arc::clone(open));
        let before = open.fetch_add(1, Ordering::Relaxed);
        if before < MAX_OPEN { Ok(this) } else { Err(AttemptError::Crowded(MAX_OPEN)) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Idle ===

impl Idle {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < IDLE_LIMIT && self.counted.connection.is_open()
    }
}

// === impl Content ===

impl Body for Content {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let frame = ready!(match &mut this.lease {
            Some(lease) => lease.counted.connection.poll_answer(&mut this.body, context),
            None => Pin::new(&mut this.body).poll_frame(context),
        });
        match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Err(_)) => self.lease = None,
            Some(Ok(_)) | None => self.lease.take().into_iter().for_each(Lease::give_back),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // An answer without a body has been read to its end without being asked for a piece.
        if self.body.is_end_stream() {
            self.lease.take().into_iter().for_each(Lease::give_back);
        }
    }
}

// === impl Lease ===

impl Lease {
    fn give_back(mut self) {
        // A peer may answer before it has read everything. Such a connection is not ready for another request.
        let is_read = self.request.is_none_or(|request| request.has_ended());
        if !is_read || !self.counted.connection.is_reusable() {
            return;
        }
        let mut idle = self.pool.idle();
        if idle.len() < MAX_IDLE {
            idle.push(Idle { counted: self.counted, since: Instant::now() });
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
