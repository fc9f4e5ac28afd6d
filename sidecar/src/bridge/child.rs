//! The program of our agent as a process: started below a warden, in a process group of its own, and ended in order.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::warden;

/// Variables of ours that the program gets as well, if they are set: where programs, certificates and its home are, and
/// the language. The sidecar's others may hold secrets that are none of its business.
const PASSED_ON: [&str; 16] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "TERM",
    "HOSTNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "LD_LIBRARY_PATH",
];
/// Time to end after the program's input is closed, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that it gets beside those that every program gets.
    pub env: BTreeMap<String, String>,
    /// Where it runs; where the sidecar does without one.
    pub cwd: Option<String>,
}

/// A running program.
#[derive(Debug)]
pub struct Child {
    warden: tokio::process::Child,
    group: Group,
}

/// The ends of its pipes that are ours.
#[derive(Debug)]
pub struct Pipes {
    /// What is written here, it reads.
    pub input: ChildStdin,
    /// What it says.
    pub output: ChildStdout,
    /// What it says beside. The program lives no longer than this.
    pub beside: ChildStderr,
}

/// A process group that is killed when nobody holds it any more.
#[derive(Debug)]
struct Group(Option<Pid>);

// === impl Child ===

impl Child {
    /// Starts `program` below a warden, which is the program at `warden`.
    ///
    /// # Errors
    /// When there is no process or no pipe to be had. A program that does not exist ends at once instead.
    pub fn start(program: &Program, warden: &PathBuf) -> io::Result<(Self, Pipes)> {
        let mut command = Command::new(warden);
        command.arg0(env!("CARGO_PKG_NAME")).arg(warden::WORD).arg(&program.command).args(&program.args);
        command.env_clear().envs(passed_on()).envs(&program.env);
        program.cwd.iter().for_each(|cwd| _ = command.current_dir(cwd));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut warden = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = warden.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let missing = || io::Error::other("a pipe is missing");
        let pipes = Pipes {
            input: warden.stdin.take().ok_or_else(missing)?,
            output: warden.stdout.take().ok_or_else(missing)?,
            beside: warden.stderr.take().ok_or_else(missing)?,
        };
        Ok((Self { warden, group: Group(group) }, pipes))
    }

    /// Its process id, which is that of its group.
    pub fn id(&self) -> Option<u32> {
        self.warden.id()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.warden.wait().await?;
        // A warden that came to its own end has killed the others; one that was killed has not.
        if status.code().is_some() {
            self.group.0 = None;
        }
        Ok(status)
    }

    /// Ends it, now that its input is closed: it may go by itself, is asked to go, and is killed in the end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn end(mut self) -> io::Result<ExitStatus> {
        for signal in [Signal::TERM, Signal::KILL] {
            if let Ok(ended) = timeout(GRACE, self.ended()).await {
                return ended;
            }
            self.group.send(signal);
        }
        self.ended().await
    }
}

fn passed_on() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_ON.iter().filter_map(|name| std::env::var_os(name).map(|value| (*name, value)))
}

// === impl Group ===

impl Group {
    fn send(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Nobody is left to be sent anything.
            rustix::process::kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::KILL);
    }
}
