//! This process as a client of etcd: one of the replicas, with a lease, and what it knows of the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::layout;
use super::members::Members;
use super::peers::Peers;
use super::replica::Replica;
use super::wire::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest};
use crate::store::error::OpenError;
use crate::store::url::{Endpoints, StoreUrl};

/// Time after which a replica that says nothing counts as gone, in seconds, and how often it says something.
const LEASE_SECONDS: i64 = 10;
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Time that etcd is waited for when it is opened: it may be started together with us.
const OPENING: Duration = Duration::from_secs(60);
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
        Ok(Self { name, members, peers: Peers::nobody(now), replica: Replica::new(now) })
    }

    /// Takes a lease and shows up among the replicas.
    pub(super) async fn enter(&self) -> Result<(), Status> {
        let lease = self.grant().await?;
        self.peers.is_me(lease);
        self.replica.rename(lease, Instant::now());
        let value = concat!("mesh-registry ", env!("CARGO_PKG_VERSION"));
        let presence = PutRequest { key: layout::replica(lease), value: value.into(), lease };
        self.members.call(presence).await?;
        tracing::info!(replica = format!("{lease:016x}"), store = self.name, "this registry is a replica");
        Ok(())
    }

    async fn grant(&self) -> Result<i64, Status> {
        Ok(self.members.call(LeaseGrantRequest { ttl: LEASE_SECONDS }).await?.id)
    }

    /// What it heard stays, for those who take over.
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
    /// When it fails, or takes a minute.
    pub(super) async fn opening<T>(
        &self,
        opening: impl Future<Output = Result<T, OpenError>>,
    ) -> Result<T, OpenError> {
        let silence = || format!("no answer within {} s", OPENING.as_secs());
        let late = |_| Err(OpenError::Unreachable { store: self.name.clone(), source: silence().into() });
        timeout(OPENING, opening).await.unwrap_or_else(late)
    }

    /// etcd refuses.
    pub(super) fn refused(&self, fault: Status) -> OpenError {
        OpenError::Unreachable { store: self.name.clone(), source: fault.into() }
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
