//! The command `init`: a manifest to start from, empty or out of what others already say about the agent.
//!
//! What it reads is from strangers and becomes a file that a person looks through: it is bounded in size and time, nothing
//! that it refers to is fetched, and no text of it can be anything but a text in the manifest.

mod import;

mod source;

mod draft;

mod yaml;

mod fault;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use mesh_api::document::{Fields, any, boolean, text};
use mesh_daemon::settings::{self, Program, Setting};

use self::draft::Draft;
use self::fault::InitError;
use self::source::Source;
use crate::config::PROGRAM;
use crate::error::chain;

/// The file that stands for standard output.
const STDOUT: &str = "-";

/// The command as a program.
pub const INIT: Program = Program {
    name: "mesh-sidecar init",
    about: "Writes a manifest to start from: an empty one, or one out of a card that the agent has.",
    settings: &[
        Setting {
            name: "from",
            value: "URL|FILE",
            default: "",
            help: "A server.json, an MCP server card or an A2A agent card: at most 256 KiB, within 10 s, no redirects",
        },
        Setting {
            name: "output",
            value: "FILE",
            default: STDOUT,
            help: "Where the manifest goes, - for standard output",
        },
        Setting { name: "force", value: "", default: "false", help: "Replace a file that is there already" },
    ],
    ..PROGRAM
};

/// What the command is told.
struct Command {
    from: Option<Source>,
    output: String,
    force: bool,
}

/// Runs the command to its end. `arguments` begin with its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match settings::load(&INIT, arguments, Command::read) {
        Ok(command) => command,
        Err(stop) => return stop.report(),
    };
    // To standard error, as the manifest itself may go to the output. Nobody is left to be told when this fails.
    match command.run() {
        Ok(said) => {
            let _ = io::stderr().write_all(said.as_bytes());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            let _ = writeln!(io::stderr(), "{} failed: {}", INIT.name, chain(&fault));
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// The sidecar's own configuration will do: what else it sets is passed over.
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        PROGRAM.settings.iter().for_each(|setting| drop(fields.optional(setting.name, any)));
        Self {
            from: fields.optional("from", Source::read),
            output: fields.required("output", text(1, 4_096)).unwrap_or_default(),
            force: fields.required("force", boolean).unwrap_or_default(),
        }
    }

    /// Reads, writes, and says what comes next.
    #[tokio::main(flavor = "current_thread")]
    async fn run(self) -> Result<String, InitError> {
        let Self { from, output, force } = self;
        let is_file = output != STDOUT;
        if is_file && !force && Path::new(&output).exists() {
            return Err(InitError::Exists(output));
        }
        let draft = match from {
            None => Draft::template()?,
            Some(source) => import::draft(&source.fetch().await?, &source)?,
        };
        let text = draft.to_string();
        if !is_file {
            return io::stdout()
                .write_all(text.as_bytes())
                .map(|()| String::new())
                .map_err(unwritten(&output));
        }
        write(&text, Path::new(&output), force).map_err(|fault| match fault.kind() {
            ErrorKind::AlreadyExists => InitError::Exists(output.clone()),
            _ => unwritten(&output)(fault),
        })?;
        Ok(format!(
            "{output} is written: look through it, then try it with mesh-sidecar --manifest {output} --check\n"
        ))
    }
}

/// Whole or not at all: what stood there before stands there until the new text does.
fn write(text: &str, file: &Path, force: bool) -> io::Result<()> {
    let written = |mut out: File| out.write_all(text.as_bytes()).and_then(|()| out.sync_all());
    if !force {
        let done = written(OpenOptions::new().write(true).create_new(true).open(file)?);
        if done.is_err() {
            // What is left of it would be in the way of the next attempt.
            let _ = fs::remove_file(file);
        }
        return done;
    }
    let mut part = file.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let done = written(File::create(&part)?).and_then(|()| fs::rename(&part, file));
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done
}

fn unwritten(file: &str) -> impl Fn(io::Error) -> InitError {
    move |source| InitError::Unwritten { file: file.to_owned(), source }
}
