//! What this replica writes: changes, whom it hears, and the sums of that.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::layout::MAX_ANNOUNCED;
use super::session::Session;
use super::wire::{
    CompactionRequest, Compare, CompareTarget, DeleteRangeRequest, Operation, PutRequest, RangeRequest,
    RequestOp, TxnRequest,
};
use super::{beats, layout};
use crate::store::change::{Beats, Change, Draft};
use crate::store::error::CommitError;

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
        let answer = self.members.call(transaction).await.map_err(refused)?;
        let at = layout::revision(answer.header.map_or(0, |header| header.revision));
        if answer.succeeded {
            return Ok(at);
        }
        // The record that is there shows soon; a removal at the next change, which is a second away at most.
        let found = answer.responses.into_iter().filter_map(|response| response.range);
        let current = found.flat_map(|range| range.kvs).next();
        Err(CommitError::Conflict { at: current.map_or(at, |kv| layout::revision(kv.mod_revision)) })
    }

    /// Tells the others whom this replica heard, and announces changes. Answers the revision that was reached.
    ///
    /// # Errors
    /// What etcd says against it.
    pub(super) async fn flush(&self, beats: &Beats, noticed: u64) -> Result<u64, CommitError> {
        let mut reached = 0;
        for (announced, value) in beats::pack(beats, wall(), noticed, MAX_ANNOUNCED) {
            let (lease, number) = self.replica.number();
            self.peers.sent(lease, number, Instant::now());
            let part = PutRequest { key: layout::flush(lease, number), value, lease: 0 };
            let answer = self.members.call(part).await.map_err(refused)?;
            reached = layout::revision(answer.header.map_or(0, |header| header.revision)) + announced;
        }
        Ok(reached)
    }

    /// Writes whom this replica heard last, and deletes what that makes needless: what it wrote before, what lost
    /// replicas wrote, and etcd's past.
    ///
    /// # Errors
    /// What etcd says against it. It is tried again then.
    pub(super) async fn sum_up(&self, beats: &Beats) -> Result<(), Status> {
        let (lease, first) = self.replica.number();
        let (mut number, mut revision) = (first, 0);
        for (_, value) in beats::pack(beats, wall(), 0, MAX_ANNOUNCED) {
            let part = PutRequest { key: layout::sum(lease, number), value, lease: 0 };
            revision = self.members.call(part).await?.header.map_or(0, |header| header.revision);
            number = self.replica.number().1;
        }
        let now = Instant::now();
        let needless = layout::before(lease, first);
        let buried = self.replica.summed_up(now).into_iter().flat_map(layout::everything_of);
        for (key, range_end) in needless.into_iter().chain(buried) {
            self.members.call(DeleteRangeRequest { key, range_end }).await?;
        }
        if let Some(revision) = self.replica.forgettable(revision, now) {
            match self.members.call(CompactionRequest { revision }).await {
                // Another replica was first.
                Err(fault) if fault.code() != Code::OutOfRange => return Err(fault),
                _ => {}
            }
        }
        Ok(())
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

/// Our clock, in milliseconds since 1970.
pub(super) fn wall() -> i64 {
    Timestamp::now().as_millisecond()
}
