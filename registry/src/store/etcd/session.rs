//! This process as a client of etcd: one of the replicas, with a lease, and what it knows of the others.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::beats::Moment;
use super::layout;
use super::members::Members;
use super::peers::Peers;
use super::replica::Replica;
use super::wire::{
    CompactionRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
};
use crate::store::error::OpenError;
use crate::store::url::{Endpoints, StoreUrl};

/// Time after which a replica that says nothing counts as gone, in seconds, and how often it says something.
const LEASE_SECONDS: i64 = 10;
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Time that etcd is waited for when it is opened: it may be started together with us.
pub(super) const OPENING: Duration = Duration::from_secs(60);
/// Time between two compactions.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Time for telling etcd that we leave.
const LEAVING: Duration = Duration::from_secs(2);

/// A client of etcd.
#[derive(Debug)]
pub(super) struct Session {
    /// How the store is called in errors.
    pub(super) name: String,
    pub(super) members: Members,
    pub(super) peers: Peers,
    pub(super) replica: Replica,
    /// Since when we have been running.
    started: Instant,
    /// The revision to which the mirror has come, and what wakes it when etcd has been set back behind that.
    pub(super) mirrored: AtomicI64,
    pub(super) set_back: Notify,
}

impl Session {
    /// A client that is no replica yet.
    ///
    /// # Errors
    /// When an endpoint is none.
    pub(super) fn new(endpoints: &Endpoints) -> Result<Self, OpenError> {
        let name = StoreUrl::Etcd(endpoints.clone()).to_string();
        let members = Members::new(endpoints.as_ref())
            .map_err(|source| OpenError::Unreachable { store: name.clone(), source: source.into() })?;
        let now = Instant::now();
        let (peers, replica) = (Peers::nobody(now), Replica::new(now));
        let (mirrored, set_back) = (AtomicI64::new(0), Notify::new());
        Ok(Self { name, members, peers, replica, started: now, mirrored, set_back })
    }

    /// Takes a lease and shows up among the replicas, and only then goes by its name.
    ///
    /// # Errors
    /// What etcd says against it.
    pub(super) async fn enter(&self) -> Result<(), Status> {
        let lease = self.grant().await?;
        self.peers.is_me(lease);
        let value = concat!("mesh-registry ", env!("CARGO_PKG_VERSION"));
        let presence = PutRequest { key: layout::replica(lease), value: value.into(), lease };
        self.members.call(presence).await?;
        self.replica.rename(lease, Instant::now());
        tracing::info!(replica = format!("{lease:016x}"), store = self.name, "this registry is a replica");
        Ok(())
    }

    /// A name for a replica.
    ///
    /// # Errors
    /// What etcd says against it.
    pub(super) async fn grant(&self) -> Result<i64, Status> {
        Ok(self.members.call(LeaseGrantRequest { ttl: LEASE_SECONDS }).await?.id)
    }

    /// Tells the others that it goes. What it heard stays, for those who take over.
    pub(super) async fn leave(&self) {
        let leaving = self.members.call(LeaseRevokeRequest { id: self.replica.lease() });
        if !matches!(timeout(LEAVING, leaving).await, Ok(Ok(_))) {
            tracing::warn!(
                "etcd could not be told that this replica leaves, the others miss it in {LEASE_SECONDS} s"
            );
        }
    }

    /// Waits for something without which the store cannot be opened.
    ///
    /// # Errors
    /// When it fails, or takes longer than `patience`.
    pub(super) async fn opening<T>(
        &self,
        patience: Duration,
        opening: impl Future<Output = Result<T, OpenError>>,
    ) -> Result<T, OpenError> {
        let silence = || {
            let trouble =
                self.members.trouble().map_or_else(String::new, |trouble| format!(", last from {trouble}"));
            format!("no answer within {} s{trouble}", patience.as_secs())
        };
        let late = |_| Err(OpenError::Unreachable { store: self.name.clone(), source: silence().into() });
        timeout(patience, opening).await.unwrap_or_else(late)
    }

    /// Now, by the clock on the wall and by one that nobody sets.
    pub(super) fn moment(&self) -> Moment {
        Moment { wall: wall(), uptime: self.started.elapsed() }
    }

    /// etcd refuses.
    pub(super) fn refused(&self, fault: Status) -> OpenError {
        OpenError::Unreachable { store: self.name.clone(), source: fault.into() }
    }
}

/// Our clock, in milliseconds since 1970.
pub(super) fn wall() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Has etcd forget its past, again and again: without a history for the last minutes no watch could go on, and with one
/// of days etcd would be full.
pub(super) async fn forget_the_past(session: Arc<Session>) {
    loop {
        sleep(FORGET_EVERY).await;
        let looked =
            session.members.call(RangeRequest { key: layout::agents().0, ..RangeRequest::default() });
        let Ok(answer) = looked.await else { continue };
        let revision = answer.header.map_or(0, |header| header.revision);
        if let Some(revision) = session.replica.forgettable(revision, Instant::now()) {
            match session.members.call(CompactionRequest { revision }).await {
                // Another replica was first.
                Err(fault) if fault.code() != Code::OutOfRange => {
                    tracing::warn!(%fault, "the past of etcd cannot be compacted, trying again");
                }
                _ => {}
            }
        }
    }
}

/// Keeps the lease, and takes another one when it has run out: while this process, or etcd, was away for long.
pub(super) async fn keep_alive(session: Arc<Session>) {
    loop {
        sleep(KEEP_ALIVE).await;
        let kept = session.members.call(LeaseKeepAliveRequest { id: session.replica.lease() }).await;
        let is_gone = kept.as_ref().map_or_else(|fault| fault.code() == Code::NotFound, |kept| kept.ttl <= 0);
        let outcome = if is_gone { session.enter().await } else { kept.map(drop) };
        if let Err(fault) = outcome {
            tracing::warn!(%fault, "the lease of this replica cannot be kept, trying again");
        }
    }
}
