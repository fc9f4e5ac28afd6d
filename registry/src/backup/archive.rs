//! The file of a backup, which no engine has a part in: one JSON object a line. First what it is, then every agent, then
//! when agents were last heard, and last a checksum of all of this.

use std::borrow::Cow;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use crate::catalog::outline;
use crate::store::change::{Beats, Snapshot, Stored};

const FORMAT: &str = "mesh-registry backup";
/// Version of the format.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head<'l> {
    #[serde(borrow)]
    format: Cow<'l, str>,
    version: u32,
    taken_at: Timestamp,
    /// The newest revision.
    revision: u64,
    /// How many lines with an agent follow.
    agents: usize,
}

#[derive(Serialize, Deserialize)]
struct Row<'l> {
    #[serde(borrow)]
    id: Cow<'l, str>,
    revision: u64,
    incarnation: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(borrow)]
    owner: Option<Cow<'l, str>>,
    #[serde(borrow)]
    registration: &'l RawValue,
}

#[derive(Serialize, Deserialize)]
struct Heard<'l> {
    heard: Cow<'l, Beats>,
}

#[derive(Serialize, Deserialize)]
struct Seal {
    checksum: String,
}

/// Why a file is no backup to restore from.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// Something else.
    #[error("it is no backup of a mesh-registry")]
    Foreign,
    /// A later release wrote it.
    #[error(
        "it has version {found}, this release knows {VERSION}: restore it with the release that wrote it"
    )]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// The system cannot read it.
    #[error("line {line} cannot be read")]
    Unreadable {
        /// Which.
        line: usize,
        /// What the system says.
        source: io::Error,
    },
    /// There is less than there should be.
    #[error("it ends too early, in line {line}: take another backup, this one is not whole")]
    Cut {
        /// The first line that is not there.
        line: usize,
    },
    /// A line is not what was written.
    #[error("line {line} cannot be read, the file is damaged: take another backup")]
    Line {
        /// Which.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What was written was something else.
    #[error("its checksum is not that of its contents, the file is damaged: take another backup")]
    Damaged,
}

/// Writes a backup.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(snapshot: &Snapshot, taken_at: Timestamp, out: impl Write) -> io::Result<()> {
    let mut out = Hashed { out, hash: Xxh3::new() };
    let Snapshot { revision, agents, beats } = snapshot;
    let (format, count) = (FORMAT.into(), agents.len());
    out.line(&Head { format, version: VERSION, taken_at, revision: *revision, agents: count })?;
    for stored in agents {
        out.line(&Row {
            id: Cow::Borrowed(&stored.id),
            revision: stored.revision,
            incarnation: stored.incarnation,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            owner: stored.owner.as_deref().map(Cow::Borrowed),
            registration: serde_json::from_str(&stored.document)?,
        })?;
    }
    out.line(&Heard { heard: Cow::Borrowed(beats) })?;
    let checksum = checksum(&out.hash);
    out.line(&Seal { checksum })
}

/// Reads a backup, all of it before anything is done with it.
///
/// # Errors
/// Names the first line at fault.
pub(super) fn read(input: impl BufRead) -> Result<Snapshot, ArchiveError> {
    let mut lines = Lines { input, number: 0, line: String::new(), hash: Xxh3::new() };
    let (revision, count) = match lines.read::<Head<'_>>() {
        Ok(head) if head.format != FORMAT => return Err(ArchiveError::Foreign),
        Ok(head) if head.version > VERSION => return Err(ArchiveError::TooNew { found: head.version }),
        Ok(head) => (head.revision, head.agents),
        Err(ArchiveError::Line { .. }) => return Err(ArchiveError::Foreign),
        Err(fault) => return Err(fault),
    };
    let mut agents = Vec::new();
    for _ in 0..count {
        let stored = Arc::new(Stored::from(lines.read::<Row<'_>>()?));
        let readable = outline::read(&stored.document);
        readable.map_err(|source| ArchiveError::Line { line: lines.number, source })?;
        agents.push(stored);
    }
    let beats = lines.read::<Heard<'_>>()?.heard.into_owned();
    let Seal { checksum: expected } = lines.read()?;
    if checksum(&lines.hash) != expected || !lines.is_over()? {
        return Err(ArchiveError::Damaged);
    }
    Ok(Snapshot { revision, agents, beats })
}

fn checksum(hash: &Xxh3) -> String {
    format!("{:016x}", hash.digest())
}

/// A writer that hashes what goes through it.
struct Hashed<W> {
    out: W,
    hash: Xxh3,
}

/// The lines of a file, and the hash of all before the last one that was read.
struct Lines<R> {
    input: R,
    number: usize,
    line: String,
    hash: Xxh3,
}

// === impl Row ===

impl From<Row<'_>> for Stored {
    fn from(row: Row<'_>) -> Self {
        Self {
            id: row.id.into(),
            document: row.registration.get().into(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            owner: row.owner.map(Into::into),
            incarnation: row.incarnation,
            revision: row.revision,
        }
    }
}

// === impl Hashed ===

impl<W: Write> Hashed<W> {
    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut *self, value)?;
        self.write_all(b"\n")
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

// === impl Lines ===

impl<R: BufRead> Lines<R> {
    fn read<'l, T: Deserialize<'l>>(&'l mut self) -> Result<T, ArchiveError> {
        self.hash.update(self.line.as_bytes());
        self.line.clear();
        self.number += 1;
        let line = self.number;
        self.input.read_line(&mut self.line).map_err(|source| ArchiveError::Unreadable { line, source })?;
        if !self.line.ends_with('\n') {
            return Err(ArchiveError::Cut { line });
        }
        serde_json::from_str(&self.line).map_err(|source| ArchiveError::Line { line, source })
    }

    fn is_over(&mut self) -> Result<bool, ArchiveError> {
        let line = self.number + 1;
        let rest = self.input.fill_buf().map_err(|source| ArchiveError::Unreadable { line, source })?;
        Ok(rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use mesh_api::agent::Registration;
    use mesh_api::health::Reported;
    use serde_json::json;

    use super::*;
    use crate::store::change::Beat;

    fn snapshot() -> Snapshot {
        let agent = |id: &str, owner: Option<&str>| {
            let document =
                json!({"id": id, "endpoint": "http://h:1/", "config": {"a": "line\nbreak \u{2028} ü"}});
            Arc::new(Stored {
                id: id.into(),
                document: serde_json::to_string(&Registration::from_value(&document).unwrap().0)
                    .unwrap()
                    .into(),
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::from_millisecond(1_234).unwrap(),
                owner: owner.map(Into::into),
                incarnation: 3,
                revision: 7,
            })
        };
        let beat = Beat { at: 5, life: 3, reported: Reported::Draining, said: None, via: None };
        let beats = Beats::from([("a".to_owned(), beat)]);
        Snapshot { revision: 9, agents: vec![agent("a", None), agent("b", Some("some\"body"))], beats }
    }

    fn written() -> String {
        let mut out = Vec::new();
        write(&snapshot(), Timestamp::UNIX_EPOCH, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (before, after) = (snapshot(), read(written().as_bytes()).unwrap());
        assert_eq!(
            (before.revision, before.agents, before.beats),
            (after.revision, after.agents, after.beats)
        );
    }

    #[test]
    fn what_was_cut_off_anywhere_is_refused() {
        let whole = written();
        for end in 0..whole.len() {
            if let Some(part) = whole.get(..end) {
                assert!(read(part.as_bytes()).is_err(), "{end} bytes of {}", whole.len());
            }
        }
        let lines = whole.lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
        assert!(matches!(read(lines.as_bytes()), Err(ArchiveError::Cut { line: 4 })));
    }

    #[test]
    fn what_was_changed_is_refused() {
        let whole = written();
        let read_changed = |whole: &str, from: &str, to: &str| read(whole.replacen(from, to, 1).as_bytes());
        assert!(matches!(
            read_changed(&whole, "\"revision\":7", "\"revision\":8"),
            Err(ArchiveError::Damaged)
        ));
        assert!(matches!(
            read_changed(&whole, "\"revision\":7", "\"revision\":"),
            Err(ArchiveError::Line { line: 2, .. })
        ));
        assert!(matches!(
            read_changed(&whole, "\"version\":1", "\"version\":2"),
            Err(ArchiveError::TooNew { found: 2 })
        ));
        assert!(matches!(read(&b"{}\n"[..]), Err(ArchiveError::Foreign)));
        assert!(read((whole + "more\n").as_bytes()).is_err(), "nothing comes behind the checksum");
    }
}
