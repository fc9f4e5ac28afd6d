//! The engine `etcd://HOST:PORT,…`: registrations in etcd, shared by any number of equal replicas of this registry.
//!
//! A change is a transaction that compares the revision of its key, so two replicas never overwrite each other. Whom a
//! replica has heard it tells the others once a second as one packed value, whether it has heard many or nobody: the work
//! of etcd grows with replicas and not with agents, and a replica that falls silent is missed. `etcd/layout.rs` says what
//! lies where.

mod contents;
mod mirror;

mod snapshot;

mod write;

mod session;

mod beats;
mod peers;
mod replica;

mod layout;
mod wire;

mod members;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::contents::{fill, read};
use self::session::{OPENING, Session, forget_the_past, keep_alive};
use self::snapshot::{SNAPSHOT, sound};
use super::change::{Beats, Change};
use super::engine::{Engine, Gap};
use super::error::{CommitError, OpenError};
use super::follower::Changes;
use super::url::Endpoints;

/// How often whom we heard is told.
const PULSE: Duration = Duration::from_secs(1);

/// Keeps registrations in etcd.
#[derive(Debug)]
pub struct Etcd {
    session: Arc<Session>,
    /// Ended with the engine.
    tasks: Mutex<JoinSet<()>>,
}

// === impl Etcd ===

impl Etcd {
    /// Becomes one of the replicas that share what the members at `endpoints` keep.
    ///
    /// # Errors
    /// When none of them can be reached in time, or they refuse.
    pub async fn open(endpoints: &Endpoints) -> Result<Self, OpenError> {
        let session = Session::new(endpoints)?;
        let entering = async { session.enter().await.map_err(|fault| session.refused(fault)) };
        session.opening(OPENING, entering).await?;
        let session = Arc::new(session);
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_alive(Arc::clone(&session)));
        tasks.spawn(forget_the_past(Arc::clone(&session)));
        Ok(Self { session, tasks: Mutex::new(tasks) })
    }
}

impl Engine for Etcd {
    fn changes(&self) -> BoxFuture<'_, Result<Changes, OpenError>> {
        async {
            let began = Instant::now();
            let reading = snapshot::snapshot(&self.session);
            let (snapshot, revision) = sound(self.session.opening(SNAPSHOT, reading).await?)?;
            let (teller, changes) = Changes::beginning_with(snapshot);
            let following = mirror::follow(Arc::clone(&self.session), teller, revision, began);
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(following);
            Ok(changes)
        }
        .boxed()
    }

    fn commit(&self, change: Change, expected: u64) -> BoxFuture<'_, Result<u64, CommitError>> {
        self.session.commit(change, expected).boxed()
    }

    fn confirm<'s>(&'s self, id: &'s str, expected: u64) -> BoxFuture<'s, Result<(), CommitError>> {
        self.session.confirm(id, expected).boxed()
    }

    fn flush(&self, beats: Arc<Beats>, noticed: u64) -> BoxFuture<'_, Result<u64, CommitError>> {
        async move { self.session.flush(&beats, noticed).await }.boxed()
    }

    fn pulse(&self) -> Option<Duration> {
        Some(PULSE)
    }

    fn is_sum_due(&self) -> bool {
        self.session.replica.is_sum_due(Instant::now())
    }

    fn sum_up(&self, beats: Arc<Beats>) -> BoxFuture<'_, Result<(), CommitError>> {
        async move { self.session.sum_up(&beats).await }.boxed()
    }

    fn gap(&self) -> Option<Gap> {
        self.session.peers.gap(Instant::now())
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        async {
            // Nobody takes another lease behind its back.
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
            self.session.leave().await;
        }
        .boxed()
    }
}
