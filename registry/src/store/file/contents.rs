//! Everything that a database holds, read or written at once.

use super::database::Database;
use super::{heartbeats, registrations};
use crate::store::change::Snapshot;
use crate::store::error::OpenError;

/// Reads everything, as of one moment.
///
/// # Errors
/// Names the first row that cannot be read.
pub(super) fn read(database: &Database) -> Result<Snapshot, OpenError> {
    let unreadable = |source| database.unreadable(source);
    // Never committed: it only keeps the writes of others out of sight.
    let _moment = database.connection.unchecked_transaction().map_err(unreadable)?;
    let revision = registrations::revision(&database.connection).map_err(unreadable)?;
    Ok(Snapshot { revision, agents: registrations::all(database)?, beats: heartbeats::all(database)? })
}

/// By so much a restored store is ahead of its backup: what happened between the two had revisions of its own, and who
/// remembers one of those must be told that it is not known, not what has become of it since.
const AHEAD: u64 = 1_000_000_000;

/// Writes everything into a database in which nothing has been written yet, in one transaction. Returns whether that was
/// so.
pub(super) fn fill(database: &mut Database, snapshot: &Snapshot) -> rusqlite::Result<bool> {
    let transaction = database.connection.transaction()?;
    if registrations::revision(&transaction)? > 0 {
        return Ok(false);
    }
    for stored in &snapshot.agents {
        registrations::put(&transaction, stored)?;
    }
    heartbeats::append(&transaction, &snapshot.beats)?;
    registrations::set_revision(&transaction, snapshot.revision + AHEAD)?;
    transaction.commit()?;
    Ok(true)
}
