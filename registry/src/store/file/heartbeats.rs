//! The log of heartbeat flushes in the table `heartbeats`: one packed row a flush, not a row an agent.
//!
//! 10,000 heartbeats cost 0.2 ms packed and 6.3 ms as rows. The log is folded into one row when it gets long, so that
//! a flush writes only what is new and a restart reads little.

use rusqlite::Connection;

use super::database::Database;
use super::registrations;
use crate::store::change::{self, Beat, Beats};
use crate::store::error::OpenError;

/// Flushes after which the log is folded: a minute's worth at one a second.
const MAX_ROWS: usize = 60;

/// Appends a flush.
pub(super) fn append(connection: &Connection, beats: &Beats) -> rusqlite::Result<()> {
    let packed = pack(beats)?;
    connection.prepare_cached("INSERT INTO heartbeats (beats) VALUES (?1)")?.execute([packed])?;
    let rows: usize =
        connection.prepare_cached("SELECT count(*) FROM heartbeats")?.query_row([], |row| row.get(0))?;
    if rows > MAX_ROWS { fold(connection) } else { Ok(()) }
}

/// Reads the whole log; later flushes override earlier ones.
///
/// # Errors
/// Names the first row that is no flush.
pub(super) fn all(database: &Database) -> Result<Beats, OpenError> {
    let rows = rows(&database.connection).map_err(|source| database.unreadable(source))?;
    let mut all = Beats::new();
    for (flush, packed) in rows {
        let beats = unpack(&packed).map_err(|source| OpenError::BadRow {
            path: database.path.clone(),
            table: "heartbeats",
            row: flush.to_string(),
            source: source.into(),
        })?;
        change::add(&mut all, beats);
    }
    Ok(all)
}

/// Replaces the log by one row, without the agents that are gone.
fn fold(connection: &Connection) -> rusqlite::Result<()> {
    let mut folded = Beats::new();
    for (_, packed) in rows(connection)? {
        let unpacked = unpack(&packed).map_err(|fault| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, fault.into())
        })?;
        change::add(&mut folded, unpacked);
    }
    let mut kept = Beats::new();
    for (id, beat) in folded {
        if registrations::revision_of(connection, &id)? > 0 {
            kept.insert(id, beat);
        }
    }
    connection.execute("DELETE FROM heartbeats", [])?;
    connection.execute("INSERT INTO heartbeats (beats) VALUES (?1)", [pack(&kept)?]).map(drop)
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut select = connection.prepare_cached("SELECT flush, beats FROM heartbeats ORDER BY flush")?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn pack(beats: &Beats) -> rusqlite::Result<String> {
    serde_json::to_string(beats).map_err(|fault| rusqlite::Error::ToSqlConversionFailure(fault.into()))
}

fn unpack(packed: &str) -> serde_json::Result<Vec<(String, Beat)>> {
    serde_json::from_str::<Beats>(packed).map(|beats| beats.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_folded_before_it_gets_long_and_forgets_who_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path()).unwrap();
        let insert = "INSERT INTO agents VALUES ('here', 1, 1, '', '', NULL, '')";
        database.connection.execute(insert, []).unwrap();
        let beat = |at| Beat { at, life: 1, reported: Default::default(), said: None, via: None };
        for at in 0..200 {
            let beats = Beats::from([("here".to_owned(), beat(at)), ("gone".to_owned(), beat(at))]);
            append(&database.connection, &beats).unwrap();
        }
        assert!(rows(&database.connection).unwrap().len() <= MAX_ROWS);
        assert_eq!(all(&database).unwrap()["here"], beat(199));
        fold(&database.connection).unwrap();
        assert_eq!(all(&database).unwrap(), Beats::from([("here".to_owned(), beat(199))]));
    }
}
