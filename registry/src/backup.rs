//! The commands `backup` and `restore`: everything that a store holds, into a file and out of it.
//!
//! The file is not of any engine, so that what one store held can be given to another. A backup is of one moment and
//! does not disturb a registry at work. A restore fills a store in which nothing has been written yet, with the same
//! resource versions, so that clients that remember one are not told of the past.

mod archive;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use mesh_api::document::{Fields, any, parsed};
use mesh_daemon::settings::{self, Program, Setting};

use crate::config::PROGRAM;
use crate::store;
use crate::store::url::StoreUrl;

const STORE: Setting =
    Setting { name: "store", value: "URL", default: "file:./mesh-data", help: "The store: file:DIRECTORY" };

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
            help: "Where the backup goes; it replaces a file of this name",
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
    // Nobody is left to be told when even this cannot be printed.
    match done {
        Ok(said) => {
            let _ = writeln!(io::stdout(), "{said}");
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

fn save(url: &StoreUrl, file: &Path) -> anyhow::Result<String> {
    let snapshot = store::read(url)?;
    let unwritten = || format!("{} cannot be written", file.display());
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut out = BufWriter::new(File::create(&part).with_context(unwritten)?);
    archive::write(&snapshot, Timestamp::now(), &mut out).with_context(unwritten)?;
    let out = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(unwritten)?;
    out.sync_all().with_context(unwritten)?;
    // Whole or not at all: a backup of yesterday is there until today's is.
    std::fs::rename(&part, file).with_context(unwritten)?;
    Ok(format!(
        "{} agents of {url} at resource version {} are in {}",
        snapshot.agents.len(),
        snapshot.revision,
        file.display()
    ))
}

fn restore(url: &StoreUrl, file: &Path) -> anyhow::Result<String> {
    let named = || format!("{} cannot be restored", file.display());
    let input = File::open(file).with_context(named)?;
    let snapshot = archive::read(BufReader::new(input)).with_context(named)?;
    if !store::fill(url, &snapshot)? {
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
