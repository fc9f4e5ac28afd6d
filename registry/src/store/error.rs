//! What can go wrong with a store: when it is opened, and when it is written.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why a store cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or used.
    #[error("the store directory {} cannot be used", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the store directory {} is in use by another mesh-registry, give this one its own", .0.display())]
    Locked(PathBuf),
    /// The file is damaged or is no store of ours.
    #[error("the store {} cannot be read, restore it from a backup or move it away", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// SQLite can read the file and finds fault with it.
    #[error("the store {} is damaged ({finding}), restore it from a backup or move it away", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong with it.
        finding: String,
    },
    /// A later release wrote it.
    #[error(
        "the store {} has schema version {found}, this release knows {known}: run the release that wrote it",
        .path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A row is not what we wrote.
    #[error("the store {} holds a row in {table} that cannot be read: {row}", .path.display())]
    BadRow {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The key of the row.
        row: String,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A store that is a server does not answer, or refuses.
    #[error("the store {store} cannot be used: is it running, and is this its address?")]
    Unreachable {
        /// Its URL.
        store: String,
        /// What it says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A key of a store that is a server is not what we wrote.
    #[error(
        "the store {store} holds under the key {key} what is no registration: delete that key, or restore a backup"
    )]
    BadKey {
        /// Its URL.
        store: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is nothing to open.
    #[error("memory: keeps nothing beyond its process, name a store that does")]
    Volatile,
    /// The engine is gone.
    #[error("the store has been closed")]
    Closed,
}

/// Why a store was not filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// Why a change was not made. Cheap to clone, because a whole group of writers may get the same one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The record has another revision than the writer believed; the store had reached `at`.
    #[error("the record has changed meanwhile")]
    Conflict {
        /// The revision to wait for before trying again.
        at: u64,
    },
    /// There is no room.
    #[error("the disk of the store is full")]
    Full(#[source] Arc<dyn Error + Send + Sync>),
    /// The store does not take anything that large.
    #[error("the document is larger than the store takes")]
    TooLarge(#[source] Arc<dyn Error + Send + Sync>),
    /// It cannot be written for another reason.
    #[error("the store cannot be written")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// It took too long; the change may still be made.
    #[error("the store did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The engine is gone.
    #[error("the store has been closed")]
    Closed,
}

impl CommitError {
    /// Whether the store is in trouble. A conflict, or a refusal of what is too large, is a store at work.
    pub fn is_trouble(&self) -> bool {
        !matches!(self, Self::Conflict { .. } | Self::TooLarge(_))
    }
}
