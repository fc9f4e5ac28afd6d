//! All that etcd holds, read and written at once by somebody who is no replica: for backups.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::layout;
use super::session::Session;
use super::snapshot::{self, SNAPSHOT, sound};
use super::wire::{Operation, RequestOp, TxnRequest};
use super::write::{PART, put, refused};
use crate::store::change::{Beat, Beats, Draft, Snapshot};
use crate::store::error::{CommitError, FillError, OpenError};
use crate::store::url::Endpoints;

/// Most registrations of a transaction that fills etcd, and most bytes: it takes 128 operations and 1.5 MB.
const FILL_AT_ONCE: usize = 100;
const FILL_BYTES: usize = 1024 * 1024;

/// Everything that etcd holds, without becoming one of the replicas.
///
/// # Errors
/// When etcd cannot be reached, or holds what is no registration.
pub async fn read(endpoints: &Endpoints) -> Result<Snapshot, OpenError> {
    let session = Session::new(endpoints)?;
    let seen = session.opening(SNAPSHOT, snapshot::snapshot(&session)).await?;
    sound(seen).map(|(snapshot, _)| snapshot)
}

/// Fills an etcd in which no agent is registered. Returns whether that was so. etcd numbers what it is given, so that
/// agents begin new lives, in which they have been heard as in those before.
///
/// # Errors
/// When etcd cannot be reached, or there is no room.
pub async fn fill(endpoints: &Endpoints, snapshot: &Snapshot) -> Result<bool, FillError> {
    let session = Session::new(endpoints)?;
    let seen = session.opening(SNAPSHOT, snapshot::snapshot(&session)).await?;
    if !seen.snapshot.agents.is_empty() {
        return Ok(false);
    }
    // The name of nobody who is there: what it says is taken for what somebody heard who is gone.
    let name = session.grant().await.map_err(|fault| session.refused(fault))?;
    session.replica.rename(name, Instant::now());
    session.leave().await;
    let mut beats = Beats::new();
    let mut agents = snapshot.agents.iter().peekable();
    while agents.peek().is_some() {
        let (mut operations, mut ids, mut size) = (Vec::new(), Vec::new(), 0);
        while let Some(stored) = agents.peek().filter(|_| operations.len() < FILL_AT_ONCE) {
            let put = put(&Draft {
                id: Arc::clone(&stored.id),
                document: stored.document.clone(),
                created_at: stored.created_at,
                updated_at: stored.updated_at,
                owner: stored.owner.clone(),
                incarnation: None,
            })?;
            size += put.value.len();
            if size > FILL_BYTES && !operations.is_empty() {
                break;
            }
            operations.push(RequestOp { request: Some(Operation::Put(put)) });
            ids.push((&*stored.id, stored.incarnation));
            agents.next();
        }
        let filling = TxnRequest { success: operations, ..TxnRequest::default() };
        let answer = timeout(PART, session.members.call(filling)).await;
        let answer = answer.map_err(|_| CommitError::TimedOut(PART))?.map_err(refused)?;
        let life = layout::revision(answer.header.map_or(0, |header| header.revision));
        for (id, lived) in ids {
            if let Some(beat) = snapshot.beats.get(id).filter(|beat| beat.life == lived) {
                beats.insert(id.to_owned(), Beat { life, ..beat.clone() });
            }
        }
    }
    session.flush(&beats, 0).await?;
    Ok(true)
}
