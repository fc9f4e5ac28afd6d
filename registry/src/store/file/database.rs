//! Opens the database: directory, lock, schema. What is damaged or foreign is refused and never overwritten.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::FromSql;

use crate::store::error::OpenError;

/// The database inside the directory.
const DATABASE: &str = "registry.db";
/// The file that is locked while a process uses the directory.
const LOCK: &str = "registry.lock";
/// Prepared statements kept; there are fewer.
const STATEMENTS: usize = 16;
/// Read at a time ahead of SQLite.
const AHEAD_BYTES: usize = 1 << 20;

/// What brings a database from each version of its schema to the next; SQLite's `user_version` counts them. Steps are
/// added and never changed.
///
/// `revision` outlives the removal of the newest row; `heartbeats` is a log of packed flushes.
const STEPS: [&str; 1] = ["
    CREATE TABLE agents (
        id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        incarnation INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        owner TEXT,
        registration TEXT NOT NULL
    ) STRICT;
    CREATE TABLE revision (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        newest INTEGER NOT NULL
    ) STRICT;
    INSERT INTO revision (only_row, newest) VALUES (1, 0);
    CREATE TABLE heartbeats (
        flush INTEGER PRIMARY KEY,
        beats TEXT NOT NULL
    ) STRICT;
"];
/// Version of the schema that this release knows.
const KNOWN: i64 = STEPS.len() as i64;

/// An open database, its path for messages, and the lock that keeps others out.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// `None` for who only reads.
    _lock: Option<fs::File>,
}

impl Database {
    /// Opens or creates the database in `directory`.
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Directory { directory: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(unusable)?;
        let lock =
            OpenOptions::new().create(true).append(true).open(directory.join(LOCK)).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(directory.to_owned())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let path = directory.join(DATABASE);
        // Whatever is wrong with the file, SQLite finds it, too.
        let _ = read_ahead(&path);
        let connection = connect(&path).map_err(|source| unreadable(&path, source))?;
        let mut this = Self { connection, path, _lock: Some(lock) };
        this.refuse_later_schema()?;
        migrate(&mut this.connection, &STEPS).map_err(|source| this.unreadable(source))?;
        Ok(this)
    }

    /// Opens the database in `directory` for reading, while another process may use it.
    pub(super) fn open_to_read(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(DATABASE);
        fs::metadata(&path)
            .map_err(|source| OpenError::Directory { directory: directory.to_owned(), source })?;
        let connection = connect(&path).map_err(|source| unreadable(&path, source))?;
        let this = Self { connection, path, _lock: None };
        this.refuse_later_schema()?;
        Ok(this)
    }

    /// The error of a database that SQLite cannot read.
    pub(super) fn unreadable(&self, source: rusqlite::Error) -> OpenError {
        unreadable(&self.path, source)
    }

    /// Refuses what a later release wrote.
    fn refuse_later_schema(&self) -> Result<(), OpenError> {
        match version(&self.connection).map_err(|source| self.unreadable(source))? {
            found if found > KNOWN => Err(OpenError::TooNew { path: self.path.clone(), found, known: KNOWN }),
            _ => Ok(()),
        }
    }
}

/// Brings a database to the version to which `steps` lead, in one transaction, so that a crash leaves the old one or the
/// new one.
fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let done = usize::try_from(version(&transaction)?).unwrap_or_default();
    let missing = steps.get(done..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    missing.iter().try_for_each(|step| transaction.execute_batch(step))?;
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    transaction.commit()
}

/// The version of the schema; 0 when there is none yet.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    pragma(connection, "user_version")
}

/// Looks for damage in all of the database, over a connection of its own: whoever opened it can read it meanwhile.
///
/// # Errors
/// Names the first thing that is wrong.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let finding = connect(path).and_then(|connection| pragma::<String>(&connection, "quick_check(1)"));
    match finding.map_err(|source| unreadable(path, source))?.as_str() {
        "ok" => Ok(()),
        finding => Err(OpenError::Damaged { path: path.to_owned(), finding: finding.to_owned() }),
    }
}

fn unreadable(path: &Path, source: rusqlite::Error) -> OpenError {
    OpenError::Unreadable { path: path.to_owned(), source }
}

fn pragma<T: FromSql>(connection: &Connection, pragma: &str) -> rusqlite::Result<T> {
    connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
}

/// Brings the file into the system's cache from front to back. SQLite reads it in the order of its trees, for which a
/// disk takes ten times as long.
fn read_ahead(path: &Path) -> io::Result<()> {
    let (mut file, mut read) = (fs::File::open(path)?, vec![0; AHEAD_BYTES]);
    while file.read(&mut read)? > 0 {}
    Ok(())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopened_after(tamper: impl FnOnce(&Path)) -> OpenError {
        let directory = tempfile::tempdir().unwrap();
        drop(Database::open(directory.path()).unwrap());
        tamper(&directory.path().join(DATABASE));
        let fault = Database::open(directory.path()).and_then(|database| check(&database.path)).unwrap_err();
        assert!(fault.to_string().contains(directory.path().to_str().unwrap()), "{fault}");
        fault
    }

    #[test]
    fn a_second_process_is_told_which_directory_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Database::open(directory.path()).unwrap();
        let fault = Database::open(directory.path()).unwrap_err();
        assert!(matches!(fault, OpenError::Locked(ref locked) if locked == directory.path()), "{fault}");
    }

    #[test]
    fn a_later_schema_is_refused() {
        let fault = reopened_after(|path| {
            Connection::open(path).unwrap().pragma_update(None, "user_version", KNOWN + 1).unwrap();
        });
        assert!(matches!(fault, OpenError::TooNew { found: 2, known: 1, .. }), "{fault}");
    }

    #[test]
    fn a_database_of_an_earlier_schema_is_brought_up_to_date_and_keeps_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let mut database = Database::open(directory.path()).unwrap();
        let insert = "INSERT INTO agents VALUES ('a', 1, 1, '', '', NULL, '')";
        database.connection.execute(insert, []).unwrap();
        let wrong =
            [STEPS[0], "ALTER TABLE agents ADD COLUMN zone TEXT", "ALTER TABLE nothing ADD COLUMN x TEXT"];
        assert!(migrate(&mut database.connection, &wrong).is_err());
        assert_eq!(version(&database.connection), Ok(1), "all steps or none");
        for _ in 0..2 {
            migrate(&mut database.connection, &wrong[..2]).unwrap();
            assert_eq!(version(&database.connection), Ok(2));
        }
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let kept: (String, Option<String>) =
            database.connection.query_row("SELECT id, zone FROM agents", [], row).unwrap();
        assert_eq!(kept, ("a".to_owned(), None));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_kept() {
        let kept = "this was written by hand\n".repeat(100);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(DATABASE);
        fs::write(&path, &kept).unwrap();
        let fault = Database::open(directory.path()).unwrap_err();
        assert!(matches!(fault, OpenError::Unreadable { .. }), "{fault}");
        assert_eq!(fs::read_to_string(&path).unwrap(), kept);
    }

    #[test]
    fn a_damaged_database_is_refused() {
        const HEADER: usize = 100;
        let fault = reopened_after(|path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[HEADER + 5..].fill(0xa5);
            fs::write(path, bytes).unwrap();
        });
        assert!(matches!(fault, OpenError::Unreadable { .. } | OpenError::Damaged { .. }), "{fault}");
    }

    #[test]
    fn damage_where_nothing_is_read_is_found() {
        let fault = reopened_after(|path| {
            let database = Connection::open(path).unwrap();
            let root = "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'agents'";
            let root: usize = database.query_row(root, [], |row| row.get(0)).unwrap();
            let page: usize = pragma(&database, "page_size").unwrap();
            drop(database);
            let mut bytes = fs::read(path).unwrap();
            bytes[(root - 1) * page..root * page].fill(0xa5);
            fs::write(path, bytes).unwrap();
        });
        assert!(matches!(fault, OpenError::Damaged { .. } | OpenError::Unreadable { .. }), "{fault}");
    }

    #[test]
    fn a_path_that_is_a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Database::open(file.path()).unwrap_err(), OpenError::Directory { .. }));
    }
}
