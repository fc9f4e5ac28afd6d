//! A caller's body on its way to a provider: streamed as it comes, and kept so that another provider can be given the same.
//!
//! What is kept is bounded, for one call and for all of them: a body that outgrows it streams on and can be sent once
//! only. A body of which nothing was taken yet can always be sent, however long it is.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// Bytes kept of one body (linkerd and pingora keep 64 KiB; arguments of tools with a document in them are larger).
pub const MAX_KEPT: usize = 256 * 1024;
/// Bytes kept of all bodies.
const MAX_KEPT_IN_ALL: usize = 16 * 1024 * 1024;

/// Counts what is kept of all bodies.
#[derive(Debug, Clone, Default)]
pub struct Keeping(Arc<AtomicUsize>);

/// A caller's body.
#[derive(Debug)]
pub struct Replay<B = Incoming> {
    source: Arc<Mutex<Source<B>>>,
}

/// The body of one attempt.
#[derive(Debug)]
pub struct Replayed<B = Incoming> {
    source: Arc<Mutex<Source<B>>>,
    /// Pieces given so far.
    given: usize,
    /// Which attempt it belongs to: the body of an attempt that is over gives nothing more.
    turn: u64,
}

/// Why a caller's body could not be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The caller broke off.
    #[error("the caller broke off in the middle of its body")]
    Broken,
    /// The caller did not send it in time.
    #[error("the caller did not send its body within the time of the call")]
    Late,
    /// It is larger than we take.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Another attempt reads it now.
    #[error("the attempt is over")]
    Over,
}

#[derive(Debug)]
struct Source<B> {
    /// What comes from the caller; none once it has ended.
    body: Option<B>,
    kept: Vec<Bytes>,
    /// Bytes that came so far, and bytes that are kept.
    came: usize,
    held: usize,
    limit: usize,
    /// Whether everything that came is kept.
    is_whole: bool,
    turn: u64,
    /// Whether the provider would take more than the caller has sent.
    is_awaited: bool,
    fault: Option<BodyFault>,
    keeping: Keeping,
}

// === impl Replay ===

impl<B: Body<Data = Bytes> + Unpin> Replay<B> {
    /// Takes a caller's body of at most `limit` bytes.
    pub fn new(body: B, limit: usize, keeping: Keeping) -> Self {
        Self::of(body, limit, true, keeping)
    }

    /// Takes a body of which nothing is kept: it is sent once.
    pub fn once(body: B, limit: usize) -> Self {
        Self::of(body, limit, false, Keeping::default())
    }

    fn of(body: B, limit: usize, is_whole: bool, keeping: Keeping) -> Self {
        let source = Source {
            body: Some(body).filter(|body| !body.is_end_stream()),
            kept: Vec::new(),
            came: 0,
            held: 0,
            limit,
            is_whole,
            turn: 0,
            is_awaited: false,
            fault: None,
            keeping,
        };
        Self { source: Arc::new(Mutex::new(source)) }
    }

    /// The body for another attempt, from its beginning.
    pub fn begin(&self) -> Replayed<B> {
        let mut source = lock(&self.source);
        source.turn += 1;
        Replayed { source: Arc::clone(&self.source), given: 0, turn: source.turn }
    }

    /// Whether another attempt can be given the same body.
    pub fn can_repeat(&self) -> bool {
        let source = lock(&self.source);
        source.is_whole && source.fault.is_none()
    }

    /// What the caller has not sent yet, if it has not ended: nobody is given it any more.
    pub fn take_rest(&self) -> Option<B> {
        let mut source = lock(&self.source);
        source.turn += 1;
        source.let_go();
        source.body.take()
    }

    /// What was wrong with the caller's body.
    pub fn fault(&self) -> Option<BodyFault> {
        lock(&self.source).fault
    }

    /// Whether the provider waits for the caller.
    pub fn is_awaited(&self) -> bool {
        lock(&self.source).is_awaited
    }
}

// === impl Source ===

impl<B: Body<Data = Bytes> + Unpin> Source<B> {
    fn has_ended(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        self.is_awaited = frame.is_pending();
        match ready!(frame) {
            Some(Ok(frame)) => {
                // Trailers are not passed on: they are hop-by-hop unless announced, and no agent we know uses them.
                let piece = frame.into_data().unwrap_or_default();
                Poll::Ready(Some(self.take(piece)))
            }
            Some(Err(_)) => Poll::Ready(Some(Err(self.fail(BodyFault::Broken)))),
            None => {
                self.body = None;
                Poll::Ready(None)
            }
        }
    }

    fn take(&mut self, piece: Bytes) -> Result<Bytes, BodyFault> {
        self.came += piece.len();
        if self.came > self.limit {
            return Err(self.fail(BodyFault::TooLarge(self.limit)));
        }
        if self.is_whole && self.came <= MAX_KEPT && self.keeping.take(piece.len()) {
            self.held += piece.len();
            self.kept.push(piece.clone());
        } else {
            self.let_go();
        }
        Ok(piece)
    }

    fn fail(&mut self, fault: BodyFault) -> BodyFault {
        self.fault = Some(fault);
        self.let_go();
        fault
    }
}

impl<B> Source<B> {
    /// Keeps nothing any more.
    fn let_go(&mut self) {
        self.is_whole = false;
        self.kept = Vec::new();
        self.keeping.give_back(std::mem::take(&mut self.held));
    }
}

impl<B> Drop for Source<B> {
    fn drop(&mut self) {
        self.keeping.give_back(self.held);
    }
}

// === impl Replayed ===

impl<B: Body<Data = Bytes> + Unpin> Body for Replayed<B> {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        let mut source = lock(&this.source);
        if source.turn != this.turn {
            return Poll::Ready(Some(Err(BodyFault::Over)));
        }
        if let Some(fault) = source.fault {
            return Poll::Ready(Some(Err(fault)));
        }
        if let Some(piece) = source.kept.get(this.given).cloned() {
            this.given += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let piece = ready!(source.poll_next(context));
        this.given += 1;
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        source.has_ended() && source.fault.is_none() && (self.given >= source.kept.len() || !source.is_whole)
    }

    fn size_hint(&self) -> SizeHint {
        let source = lock(&self.source);
        let to_come = source.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let kept = source.kept.iter().skip(self.given).map(Bytes::len).sum::<usize>() as u64;
        let mut hint = SizeHint::new();
        if let Some(upper) = to_come.upper() {
            hint.set_upper(upper + kept);
        }
        hint.set_lower(to_come.lower() + kept);
        hint
    }
}

// === impl Keeping ===

impl Keeping {
    fn take(&self, bytes: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let granted = before + bytes <= MAX_KEPT_IN_ALL;
        if !granted {
            self.give_back(bytes);
        }
        granted
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Whoever held the lock can have left nothing half-changed that matters: a broken body is given up as a whole.
fn lock<B>(source: &Mutex<Source<B>>) -> MutexGuard<'_, Source<B>> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;

    use super::*;

    type Pieces = StreamBody<
        futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>>,
    >;

    fn replay(pieces: &[usize], keeping: &Keeping) -> Replay<Pieces> {
        let pieces: Vec<_> = pieces.iter().map(|&n| Ok(Frame::data(Bytes::from(vec![b'x'; n])))).collect();
        Replay::new(StreamBody::new(futures_util::stream::iter(pieces)), 1_000_000, keeping.clone())
    }

    async fn read(body: Replayed<Pieces>) -> Result<usize, BodyFault> {
        Ok(body.collect().await?.to_bytes().len())
    }

    #[tokio::test]
    async fn a_body_can_be_sent_again_from_its_beginning() {
        let keeping = Keeping::default();
        let replay = replay(&[10, 20, 30], &keeping);
        let mut first = replay.begin();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap().len(), 10);
        assert!(replay.can_repeat() && !replay.begin().is_end_stream());
        assert_eq!(read(replay.begin()).await, Ok(60));
        assert!(replay.can_repeat());
        assert_eq!(first.frame().await.unwrap().unwrap_err(), BodyFault::Over);
        assert_eq!(read(replay.begin()).await, Ok(60));
        drop((first, replay));
        assert_eq!(keeping.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_large_body_streams_on_and_can_be_sent_once() {
        let keeping = Keeping::default();
        let replay = replay(&[MAX_KEPT, 1, 5], &keeping);
        let body = replay.begin();
        assert!(replay.can_repeat(), "nothing was taken yet");
        assert_eq!(read(body).await, Ok(MAX_KEPT + 6));
        assert!(!replay.can_repeat());
        assert_eq!(keeping.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn of_a_body_that_is_sent_once_nothing_is_kept() {
        let pieces = [Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"hello")))];
        let replay = Replay::once(StreamBody::new(futures_util::stream::iter(pieces)), 5);
        let mut body = replay.begin();
        assert!(!body.is_end_stream() && !replay.can_repeat());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        assert!(body.frame().await.is_none() && lock(&replay.source).kept.is_empty());
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_cut() {
        let replay = replay(&[400_000, 400_000, 400_000], &Keeping::default());
        assert_eq!(read(replay.begin()).await, Err(BodyFault::TooLarge(1_000_000)));
        assert_eq!(replay.fault(), Some(BodyFault::TooLarge(1_000_000)));
    }

    #[tokio::test]
    async fn what_all_bodies_keep_is_bounded() {
        let keeping = Keeping::default();
        let replays: Vec<_> = (0..80).map(|_| replay(&[MAX_KEPT], &keeping)).collect();
        for replay in &replays {
            read(replay.begin()).await.unwrap();
        }
        assert_eq!(replays.iter().filter(|replay| replay.can_repeat()).count(), 64);
    }

    proptest! {
        #[test]
        fn every_attempt_reads_the_same(pieces in prop::collection::vec(0usize..1_000, 0..10), stops in prop::collection::vec(0usize..12, 0..4)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let replay = replay(&pieces, &Keeping::default());
                for stop in stops {
                    let mut body = replay.begin();
                    for _ in 0..stop {
                        body.frame().await;
                    }
                }
                assert_eq!(read(replay.begin()).await, Ok(pieces.iter().sum()));
            });
        }
    }
}
