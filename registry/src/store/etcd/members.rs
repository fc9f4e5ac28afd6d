//! The members of an etcd cluster, as one that answers: each call goes to the member that answered last, and to the next
//! one when that is out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

/// Time for connecting to a member.
const CONNECT: Duration = Duration::from_secs(1);
/// Time that a member has for one call; then another one is asked. An election takes one to two seconds.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Pause before the next member is asked.
const PAUSE: Duration = Duration::from_millis(50);
/// A connection with calls under way is asked for a sign of life after this time without one, as often as etcd allows,
/// and has this long to give it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Asks a member that has lost its leader to say so and not to wait for one.
const HAS_LEADER: &str = "hasleader";

/// The members of a cluster.
#[derive(Debug)]
pub(super) struct Members {
    channels: Vec<(String, Channel)>,
    /// Who is asked.
    current: watch::Sender<usize>,
    /// What the last call met with, when that was a member that is out.
    trouble: Mutex<Option<String>>,
}

/// Which member was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn(usize);

/// One of etcd's methods: what is asked and what is answered.
pub(super) trait Method: Message + Clone + 'static {
    /// The method's name on the wire.
    const PATH: &'static str;
    /// What it answers.
    type Answer: Message + Default + 'static;
}

impl Members {
    /// The members at `endpoints`, each a host and a port. Nobody is connected to yet.
    ///
    /// # Errors
    /// Names an endpoint that is none.
    pub(super) fn new(endpoints: &[String]) -> Result<Self, tonic::transport::Error> {
        let channel = |endpoint: &String| {
            let connected = Endpoint::from_shared(format!("http://{endpoint}"))?
                .connect_timeout(CONNECT)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .connect_lazy();
            Ok((endpoint.clone(), connected))
        };
        let channels = endpoints.iter().map(channel).collect::<Result<_, _>>()?;
        Ok(Self { channels, current: watch::Sender::new(0), trouble: Mutex::default() })
    }

    /// Asks until a member answers; whoever calls has the patience. What is asked may be done twice, when a member did
    /// it and was cut off before it said so.
    ///
    /// # Errors
    /// What a member that is well says against it.
    pub(super) async fn call<M: Method>(&self, request: M) -> Result<M::Answer, Status> {
        loop {
            match self.attempt(request.clone(), ATTEMPT).await {
                Err(fault) if is_outage(&fault) => sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// Asks one member, which has this much time. When it is out the next call goes to another one.
    ///
    /// # Errors
    /// What it says against it, or that it is out.
    pub(super) async fn attempt<M: Method>(&self, request: M, time: Duration) -> Result<M::Answer, Status> {
        let turn = *self.current.borrow();
        let outcome = timeout(time, self.ask(turn, request)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        match outcome.as_ref().err().filter(|fault| is_outage(fault)) {
            Some(fault) => self.pass_on(turn, fault),
            None => self.is_well(),
        }
        outcome
    }

    /// What the last call met with, when that was a member that is out.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Asks one member for a stream of answers, and says whose turn it was.
    ///
    /// # Errors
    /// What it says against it; the next call goes to another member.
    pub(super) async fn stream<M: Method>(&self, request: M) -> Result<(Streaming<M::Answer>, Turn), Status> {
        let turn = *self.current.borrow();
        let open = async {
            let mut grpc = self.ready(turn).await?;
            let endless = stream::iter([request]).chain(stream::pending());
            grpc.streaming(with_leader(endless), path::<M>(), codec::<M>()).await
        };
        let outcome = timeout(ATTEMPT, open).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        if let Err(fault) = outcome.as_ref() {
            self.pass_on(turn, fault);
        }
        Ok((outcome?.into_inner(), Turn(turn)))
    }

    /// Whose turn it was is no good.
    pub(super) fn distrust(&self, Turn(turn): Turn, fault: &Status) {
        self.pass_on(turn, fault);
    }

    /// Waits until another member is asked than the one whose turn it was: somebody has found out that it is no good.
    pub(super) async fn moved_on(&self, Turn(turn): Turn) {
        // Its other end is at hand.
        let _ = self.current.subscribe().wait_for(|current| *current != turn).await;
    }

    async fn ask<M: Method>(&self, turn: usize, request: M) -> Result<M::Answer, Status> {
        let mut grpc = self.ready(turn).await?;
        let once = stream::iter([request]);
        let answer = grpc.client_streaming(with_leader(once), path::<M>(), codec::<M>()).await?;
        Ok(answer.into_inner())
    }

    async fn ready(&self, turn: usize) -> Result<Grpc<Channel>, Status> {
        // INVARIANT: a URL without endpoints is refused.
        let (_, channel) = &self.channels[turn % self.channels.len()];
        // A page or a batch of changes is as large as the documents in it.
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|fault| Status::unavailable(fault.to_string()))?;
        Ok(grpc)
    }

    fn is_well(&self) {
        if self.lock().take().is_some() {
            tracing::info!("etcd answers again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Others may have found out as well: only the first one moves on.
    fn pass_on(&self, turn: usize, fault: &Status) {
        let (endpoint, _) = &self.channels[turn % self.channels.len()];
        let said = format!("{endpoint}: {}", fault.message());
        // The first of many is news.
        if self.lock().replace(said.clone()).is_none() {
            tracing::warn!(reason = said, "a member of etcd is out, the next one is asked");
        }
        self.current.send_if_modified(|current| {
            let is_first = *current == turn;
            *current += usize::from(is_first);
            is_first
        });
    }
}

/// Whether another member may do better.
pub(super) fn is_outage(fault: &Status) -> bool {
    matches!(
        fault.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
    )
}

fn with_leader<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(HAS_LEADER, MetadataValue::from_static("true"));
    request
}

fn path<M: Method>() -> PathAndQuery {
    PathAndQuery::from_static(M::PATH)
}

fn codec<M: Method>() -> ProstCodec<M, M::Answer> {
    ProstCodec::default()
}
