//! The rows of the table `agents`, and the revision they have reached.

use std::error::Error;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::database::Database;
use crate::store::change::Stored;
use crate::store::error::OpenError;

type RowFault = Box<dyn Error + Send + Sync>;

/// The newest revision.
pub(super) fn revision(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT newest FROM revision", [], |row| row.get(0))
}

/// Notes the newest revision.
pub(super) fn set_revision(connection: &Connection, newest: u64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE revision SET newest = ?1")?.execute([newest]).map(drop)
}

/// Revision of the record of `id`; 0 when there is none.
pub(super) fn revision_of(connection: &Connection, id: &str) -> rusqlite::Result<u64> {
    let mut select = connection.prepare_cached("SELECT revision FROM agents WHERE id = ?1")?;
    Ok(select.query_row([id], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Creates or replaces a record.
pub(super) fn put(connection: &Connection, stored: &Stored) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO agents (id, revision, incarnation, created_at, updated_at, owner, registration)
         VALUES (:id, :revision, :incarnation, :created_at, :updated_at, :owner, :registration)",
    )?;
    insert.execute(named_params! {
        ":id": stored.id,
        ":revision": stored.revision,
        ":incarnation": stored.incarnation,
        ":created_at": stored.created_at.to_string(),
        ":updated_at": stored.updated_at.to_string(),
        ":owner": stored.owner,
        ":registration": stored.document,
    })?;
    Ok(())
}

/// Removes a record.
pub(super) fn remove(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM agents WHERE id = ?1")?.execute(params![id]).map(drop)
}

/// Reads every record. Whether the documents are registrations is found out by the catalog, which reads them.
///
/// # Errors
/// Names the first row that cannot be read.
pub(super) fn all(database: &Database) -> Result<Vec<Arc<Stored>>, OpenError> {
    let unreadable = |source| database.unreadable(source);
    let mut select = database
        .connection
        .prepare("SELECT id, revision, incarnation, created_at, updated_at, owner, registration FROM agents")
        .map_err(unreadable)?;
    let mut rows = select.query([]).map_err(unreadable)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(unreadable)? {
        let id = row.get::<_, String>("id").map_err(unreadable)?;
        let bad = |source| OpenError::BadRow {
            path: database.path.clone(),
            table: "agents",
            row: id.clone(),
            source,
        };
        all.push(Arc::new(read(&id, row).map_err(bad)?));
    }
    Ok(all)
}

fn read(id: &str, row: &Row<'_>) -> Result<Stored, RowFault> {
    let time = |column: &str| -> Result<Timestamp, RowFault> { Ok(row.get_ref(column)?.as_str()?.parse()?) };
    Ok(Stored {
        id: id.into(),
        document: row.get_ref("registration")?.as_str()?.into(),
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
        owner: row.get::<_, Option<String>>("owner")?.map(String::into_boxed_str),
        incarnation: row.get("incarnation")?,
        revision: row.get("revision")?,
    })
}
