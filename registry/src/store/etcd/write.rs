//! What this replica writes: changes, whom it hears, and the sums of that.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::Status;

use super::layout::{Keys, MAX_ANNOUNCED};
use super::session::Session;
use super::wire::{
    Compare, CompareTarget, DeleteRangeRequest, Operation, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use super::{beats, layout};
use crate::store::change::{Beats, Change, Draft};
use crate::store::error::CommitError;

/// Time for one part of what is written.
pub(super) const PART: Duration = Duration::from_secs(5);

impl Session {
    /// Makes a change if the record still has revision `expected`, and answers its revision.
    ///
    /// # Errors
    /// A conflict when it has not; otherwise what etcd says against it.
    pub(super) async fn commit(&self, change: Change, expected: u64) -> Result<u64, CommitError> {
        let key = layout::agent(change.id());
        let operation = match change {
            Change::Put(draft) => Operation::Put(put(&draft)?),
            Change::Remove(_) => {
                Operation::DeleteRange(DeleteRangeRequest { key: key.clone(), range_end: vec![] })
            }
        };
        let look = RangeRequest { key: key.clone(), keys_only: true, ..RangeRequest::default() };
        let target = CompareTarget::Mod.into();
        let compare = Compare { target, key, mod_revision: Some(layout::engine_revision(expected)) };
        let transaction = TxnRequest {
            compare: vec![compare],
            success: vec![RequestOp { request: Some(operation) }],
            failure: vec![RequestOp { request: Some(Operation::Range(look)) }],
        };
        let mirrored = self.mirrored.load(Relaxed);
        let answer = self.members.call(transaction).await.map_err(refused)?;
        let at = answer.header.map_or(0, |header| header.revision);
        if answer.succeeded {
            self.written(at, mirrored);
            return Ok(layout::revision(at));
        }
        let at = layout::revision(at);
        // The record that is there shows soon; a removal at the next change, which is a second away at most.
        let found = answer.responses.into_iter().filter_map(|response| response.range);
        let current = found.flat_map(|range| range.kvs).next();
        Err(CommitError::Conflict { at: current.map_or(at, |kv| layout::revision(kv.mod_revision)) })
    }

    /// Whether the record of `id` still has revision `expected`, as etcd as a whole knows it.
    ///
    /// # Errors
    /// A conflict when it has not; otherwise what etcd says against it.
    pub(super) async fn confirm(&self, id: &str, expected: u64) -> Result<(), CommitError> {
        let look = RangeRequest { key: layout::agent(id), keys_only: true, ..RangeRequest::default() };
        let found = self.members.call(look).await.map_err(refused)?;
        let at = found.header.map_or(0, |header| header.revision);
        match found.kvs.first().map(|kv| layout::revision(kv.mod_revision)) {
            Some(known) if known != expected => Err(CommitError::Conflict { at: known }),
            None if expected != 0 => Err(CommitError::Conflict { at: layout::revision(at) }),
            _ => Ok(()),
        }
    }

    /// Tells the others whom this replica heard, and announces changes. Answers the revision that was reached.
    ///
    /// # Errors
    /// What etcd says against it, or that a part of it took too long.
    pub(super) async fn flush(&self, beats: &Beats, noticed: u64) -> Result<u64, CommitError> {
        let mut reached = 0;
        for (announced, value) in beats::pack(beats, self.moment(), noticed, MAX_ANNOUNCED) {
            let (lease, number) = self.replica.number();
            self.peers.sent(lease, number, Instant::now());
            let mirrored = self.mirrored.load(Relaxed);
            let part = PutRequest { key: layout::flush(lease, number), value, lease: 0 };
            let at = self.put_part(part).await?;
            self.written(at, mirrored);
            reached = layout::revision(at) + announced;
        }
        Ok(reached)
    }

    /// Writes whom this replica heard last, and deletes what that makes needless: what it wrote before, and what lost
    /// replicas wrote.
    ///
    /// # Errors
    /// What etcd says against it, or that a part of it took too long. It is tried again then.
    pub(super) async fn sum_up(&self, beats: &Beats) -> Result<(), CommitError> {
        let (lease, first) = self.replica.begin_sum();
        for (number, (_, value)) in (first..).zip(beats::pack(beats, self.moment(), 0, MAX_ANNOUNCED)) {
            self.put_part(PutRequest { key: layout::sum(lease, number), value, lease: 0 }).await?;
        }
        let now = Instant::now();
        if !self.replica.end_sum(lease, now) {
            return Ok(());
        }
        for keys in layout::before(lease, first) {
            self.delete(keys).await?;
        }
        for replica in self.replica.forgotten(now) {
            for keys in layout::everything_of(replica) {
                self.delete(keys).await?;
            }
            self.replica.dig_up(replica);
        }
        Ok(())
    }

    /// Something was written at etcd's `at`, when the mirror had come to `mirrored` before. Unless that is earlier etcd has
    /// been set back, and what the mirror waits for has other numbers now.
    fn written(&self, at: i64, mirrored: i64) {
        if at <= mirrored {
            self.set_back.notify_one();
        }
    }

    /// Writes one of many parts, each of which has its time. Answers etcd's revision.
    async fn put_part(&self, part: PutRequest) -> Result<i64, CommitError> {
        let put = timeout(PART, self.members.call(part)).await.map_err(|_| CommitError::TimedOut(PART))?;
        Ok(put.map_err(refused)?.header.map_or(0, |header| header.revision))
    }

    async fn delete(&self, (key, range_end): Keys) -> Result<(), CommitError> {
        let deleted = timeout(PART, self.members.call(DeleteRangeRequest { key, range_end })).await;
        deleted.map_err(|_| CommitError::TimedOut(PART))?.map_err(refused).map(drop)
    }
}

/// A registration on its way to etcd.
///
/// # Errors
/// When its document is no JSON.
pub(super) fn put(draft: &Draft) -> Result<PutRequest, CommitError> {
    let value = layout::write(draft).map_err(|fault| CommitError::Failed(Arc::new(fault)))?;
    Ok(PutRequest { key: layout::agent(&draft.id), value: value.into(), lease: 0 })
}

/// Why etcd did not take a change.
pub(super) fn refused(fault: Status) -> CommitError {
    let says = |words: &str| fault.message().contains(words);
    let is_too_large = says("request is too large") || says("larger than max");
    let is_full = says("database space exceeded");
    let fault = Arc::new(fault);
    match () {
        () if is_full => CommitError::Full(fault),
        () if is_too_large => CommitError::TooLarge(fault),
        () => CommitError::Failed(fault),
    }
}
