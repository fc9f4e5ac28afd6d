//! The writer thread: takes orders, commits those that wait together as one group, then tells and answers.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::database::{self, Database};
use super::{contents, heartbeats, registrations};
use crate::store::change::{Beats, Change, Changed, Snapshot};
use crate::store::error::{CommitError, OpenError};
use crate::store::follower::{Changes, Followers};

/// Most orders of one group; bounds how long the first one waits for the others.
const MAX_GROUP: usize = 1_024;

/// Whoever waits for a write; told the revision that the store has reached with it.
pub(super) type Writing = oneshot::Sender<Result<u64, CommitError>>;

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Write, and tell whoever waits when it is durable.
    Write(Write, Writing),
    /// Open a change stream.
    Follow(oneshot::Sender<Result<Changes, OpenError>>),
}

/// Something to be written.
#[derive(Debug)]
pub(super) enum Write {
    /// A change of a record that has revision `expected`.
    Commit { change: Change, expected: u64 },
    /// When agents were last heard, and how many revisions to set aside.
    Flush { beats: Arc<Beats>, noticed: u64 },
}

/// The only one who writes the database.
#[derive(Debug)]
pub(super) struct Writer {
    database: Database,
    revision: u64,
    /// What the opening has read, for the first follower; nothing any more when something has been written.
    opened_with: Option<Snapshot>,
    followers: Followers,
}

/// What has become of a group of writes.
struct Group {
    revision: u64,
    changes: Vec<Changed>,
    results: Vec<Result<u64, CommitError>>,
}

// === impl Writer ===

impl Writer {
    /// Takes over an open database, which is read and looked through for damage at the same time.
    ///
    /// # Errors
    /// When it is damaged, or holds what is not ours.
    pub(super) fn new(database: Database) -> Result<Self, OpenError> {
        let (snapshot, checked) = thread::scope(|scope| {
            let check = scope.spawn(|| database::check(&database.path));
            (contents::read(&database), check.join())
        });
        checked.unwrap_or_else(|panic| resume_unwind(panic))?;
        let snapshot = snapshot?;
        let revision = snapshot.revision;
        Ok(Self { database, revision, opened_with: Some(snapshot), followers: Followers::default() })
    }

    /// Works until nobody can give orders any more.
    pub(super) fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut waiting = Vec::new();
        while orders.blocking_recv_many(&mut waiting, MAX_GROUP) > 0 {
            let mut writes = Vec::new();
            for order in waiting.drain(..) {
                match order {
                    Order::Write(write, writing) => writes.push((write, writing)),
                    // Writes that wait with it are not in its snapshot yet; it hears of them as changes.
                    Order::Follow(answer) => drop(answer.send(self.follow())),
                }
            }
            self.write(writes);
        }
    }

    fn follow(&mut self) -> Result<Changes, OpenError> {
        let snapshot = match self.opened_with.take() {
            Some(snapshot) => snapshot,
            None => contents::read(&self.database)?,
        };
        Ok(self.followers.add(snapshot))
    }

    /// Commits a group. Followers are told before the writers, who look for their change in the catalog next.
    fn write(&mut self, writes: Vec<(Write, Writing)>) {
        self.opened_with = None;
        let (writes, writings): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        match commit(&mut self.database.connection, writes, self.revision) {
            Ok(group) => {
                self.revision = group.revision;
                group.changes.iter().for_each(|changed| self.followers.tell(changed));
                // A writer that has lost its patience hears nothing.
                writings
                    .into_iter()
                    .zip(group.results)
                    .for_each(|(writing, result)| drop(writing.send(result)));
            }
            Err(fault) => {
                let fault = commit_error(fault);
                writings.into_iter().for_each(|writing| drop(writing.send(Err(fault.clone()))));
            }
        }
    }
}

/// Makes a group durable in one transaction. After an error nothing of it has happened.
fn commit(connection: &mut Connection, writes: Vec<Write>, revision: u64) -> rusqlite::Result<Group> {
    let mut group = Group { revision, changes: Vec::new(), results: Vec::new() };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for write in writes {
        let result = match write {
            Write::Commit { change, expected } => group.change(&transaction, change, expected)?,
            Write::Flush { beats, noticed } => group.flush(&transaction, &beats, noticed)?,
        };
        group.results.push(result);
    }
    if group.revision > revision {
        registrations::set_revision(&transaction, group.revision)?;
    }
    transaction.commit()?;
    Ok(group)
}

// === impl Group ===

impl Group {
    /// Makes one change, unless the record has another revision than expected.
    fn change(
        &mut self,
        connection: &Connection,
        change: Change,
        expected: u64,
    ) -> rusqlite::Result<Result<u64, CommitError>> {
        if registrations::revision_of(connection, change.id())? != expected {
            return Ok(Err(CommitError::Conflict { at: self.revision }));
        }
        self.revision += 1;
        let changed = change.at(self.revision);
        match &changed {
            Changed::Put(stored) => registrations::put(connection, stored)?,
            Changed::Removed { id, .. } => registrations::remove(connection, id)?,
            // What a change becomes is none of these.
            Changed::Heard { .. } | Changed::Lost { .. } | Changed::SetAside { .. } => {}
        }
        self.changes.push(changed);
        Ok(Ok(self.revision))
    }

    /// Keeps heartbeats and sets revisions aside.
    fn flush(
        &mut self,
        connection: &Connection,
        beats: &Beats,
        noticed: u64,
    ) -> rusqlite::Result<Result<u64, CommitError>> {
        // A flush of nothing is a row all the same: it shows whether the store can be written.
        heartbeats::append(connection, beats)?;
        if noticed > 0 {
            self.revision += noticed;
            self.changes.push(Changed::SetAside { revision: self.revision });
        }
        Ok(Ok(self.revision))
    }
}

pub(super) fn commit_error(fault: rusqlite::Error) -> CommitError {
    match fault.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => CommitError::Full(Arc::new(fault)),
        _ => CommitError::Failed(Arc::new(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removal(id: &str) -> Write {
        Write::Commit { change: Change::Remove(id.into()), expected: 0 }
    }

    #[test]
    fn orders_that_wait_together_become_durable_together() {
        const PAGE: u64 = 4_096;
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(Database::open(directory.path()).unwrap()).unwrap();
        let log = || std::fs::metadata(directory.path().join("registry.db-wal")).unwrap().len();
        let before = log();
        let (writings, answers): (Vec<_>, Vec<_>) = (0..10).map(|_| oneshot::channel()).unzip();
        writer.write(writings.into_iter().map(|writing| (removal("a"), writing)).collect());
        assert!(log() - before < 10 * PAGE, "ten commits of their own would write a page each at least");
        let revisions = answers.into_iter().map(|answer| answer.blocking_recv().unwrap().unwrap());
        assert!(revisions.eq(1..=10));
    }

    #[test]
    fn a_full_disk_fails_the_whole_group_and_leaves_the_revision() {
        let directory = tempfile::tempdir().unwrap();
        let mut database = Database::open(directory.path()).unwrap();
        let pages: i64 = database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        database.connection.pragma_update(None, "max_page_count", pages).unwrap();
        let large = Beats::from([(
            "a".repeat(100_000),
            crate::store::change::Beat {
                at: 1,
                life: 1,
                reported: Default::default(),
                said: None,
                via: None,
            },
        )]);
        let fault = commit(
            &mut database.connection,
            vec![removal("a"), Write::Flush { beats: Arc::new(large), noticed: 0 }],
            0,
        );
        assert!(matches!(fault.map_err(commit_error), Err(CommitError::Full(_))));
        assert_eq!(registrations::revision(&database.connection).unwrap(), 0);
    }
}
