//! The commands `backup` and `restore`: everything that a store holds, into a file and out of it.
//!
//! The file is not of any engine, so that what one store held can be given to another. A backup is of one moment and
//! does not disturb a registry at work. A restore fills a store in which nothing has been written yet. Agents keep their
//! resource versions; the store's own is far ahead, so that clients that remember what came after the backup list again.

mod archive;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use mesh_api::document::{Fields, any, parsed};
use mesh_daemon::settings::{self, Program, Setting};

use crate::config::PROGRAM;
use crate::store;
use crate::store::change::Snapshot;
use crate::store::url::StoreUrl;

/// The file that stands for standard output.
const STDOUT: &str = "-";
const STORE: Setting = Setting {
    name: "store",
    value: "URL",
    default: "file:./mesh-data",
    help: "The store: file:DIRECTORY, or etcd://HOST:PORT,HOST:PORT",
};

/// The command that writes a backup.
pub const BACKUP: Program = Program {
    name: "mesh-registry backup",
    about: "Writes all that a store holds into a file, also while a registry uses the store.",
    settings: &[
        STORE,
        Setting {
            name: "file",
            value: "FILE",
            default: "",
            help: "Where the backup goes, - for standard output; it replaces a file of this name",
        },
    ],
    ..PROGRAM
};

/// The command that reads one.
pub const RESTORE: Program = Program {
    name: "mesh-registry restore",
    about: "Fills a store in which nothing has been written yet from a backup.",
    settings: &[STORE, Setting { name: "file", value: "FILE", default: "", help: "The backup" }],
    ..PROGRAM
};

/// Runs one of the two commands to its end. `arguments` begin with its name.
pub fn main(program: &Program, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (store, file) = match settings::load(program, arguments, read) {
        Ok(named) => named,
        Err(stop) => return stop.report(),
    };
    let done = if program.name == BACKUP.name { save(&store, &file) } else { restore(&store, &file) };
    // To standard error, as the backup itself may go to the output. Nobody is left to be told when this fails.
    match done {
        Ok(said) => {
            let _ = writeln!(io::stderr(), "{said}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            let _ = writeln!(io::stderr(), "{} failed: {fault:#}", program.name);
            ExitCode::FAILURE
        }
    }
}

/// The registry's own configuration will do: what else it sets is passed over.
fn read(fields: &mut Fields<'_, '_>) -> (StoreUrl, PathBuf) {
    PROGRAM.settings.iter().for_each(|setting| drop(fields.optional(setting.name, any)));
    let store = fields.required("store", parsed).unwrap_or(StoreUrl::Memory);
    (store, fields.required("file", parsed).unwrap_or_default())
}

#[tokio::main]
async fn save(url: &StoreUrl, file: &Path) -> anyhow::Result<String> {
    let snapshot = store::read(url).await?;
    let unwritten = || format!("{} cannot be written", file.display());
    if file == Path::new(STDOUT) {
        let mut out = BufWriter::new(io::stdout().lock());
        archive::write(&snapshot, Timestamp::now(), &mut out)
            .and_then(|()| out.flush())
            .with_context(unwritten)?;
    } else {
        let mut part = file.as_os_str().to_owned();
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let written = write_whole(&snapshot, &part, file);
        if written.is_err() {
            // What is left of it would only take room.
            let _ = fs::remove_file(&part);
        }
        written.with_context(unwritten)?;
    }
    let (agents, revision) = (snapshot.agents.len(), snapshot.revision);
    Ok(format!("{agents} agents of {url} at resource version {revision} are in {}", file.display()))
}

/// Whole or not at all, and durable: a backup of yesterday is there until today's is.
fn write_whole(snapshot: &Snapshot, part: &Path, file: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create_new(part)?);
    archive::write(snapshot, Timestamp::now(), &mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(part, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[tokio::main]
async fn restore(url: &StoreUrl, file: &Path) -> anyhow::Result<String> {
    let named = || format!("{} cannot be restored", file.display());
    let input = File::open(file).with_context(named)?;
    let snapshot = archive::read(BufReader::new(input)).with_context(named)?;
    if !store::fill(url, &snapshot).await? {
        return Err(anyhow!(
            "{url} has been written already: name a store that is new, or move this one away"
        ));
    }
    Ok(format!(
        "{} agents at resource version {} are in {url} again",
        snapshot.agents.len(),
        snapshot.revision
    ))
}
