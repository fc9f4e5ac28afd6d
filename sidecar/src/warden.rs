//! The warden: this program once more, between the sidecar and a program that it runs, so that nothing of that program
//! outlives the sidecar, however the sidecar ends.
//!
//! A signal on the death of the parent would reach one process only, not what that has started, and it follows the thread
//! that made the child. The warden leads the process group of the program instead, and it holds the writing end of a pipe
//! whose reading end only the sidecar has: the program's standard error. When nobody is left to read it, the sidecar is
//! gone, also after `kill -9`, and the warden kills the group. When the program ends, the warden kills what it has left
//! behind, reaps it, and ends with the program's exit code. `SIGTERM` to the group passes the warden by.
//!
//! It is told by its first argument what it is; nobody but [`crate::bridge`] runs it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{SignalKind, signal};

/// The argument that makes a warden of this program; the program to run and its arguments follow.
pub const WORD: &str = "warden";
/// Exit code when the program cannot be started, as shells have it.
const CANNOT_START: u8 = 127;
/// What a shell adds to the number of the signal that ended a program.
const BY_SIGNAL: i32 = 128;
/// Time for what was killed to be gone, and the pause between two looks.
const REAPING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(5));

/// The program that becomes a warden: this one as it runs, also when its file was replaced meanwhile.
pub fn program() -> PathBuf {
    if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe().unwrap_or_default()
    }
}

/// Whether a first argument asks for a warden.
pub fn is_wanted(argument: &OsStr) -> bool {
    argument == WORD
}

/// Runs the program that `arguments` name, to its end or to that of the sidecar.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let Some(program) = arguments.next() else {
        return failed("which program to run is missing", CANNOT_START);
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    match watch(command) {
        Ok(code) => ExitCode::from(code),
        Err(fault) => failed(&format!("{} cannot be run: {fault}", program.display()), CANNOT_START),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn watch(mut command: Command) -> io::Result<u8> {
    // What the program leaves behind becomes ours, so that it is reaped whoever is process 1.
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let _passes_by = signal(SignalKind::terminate())?;
    let mut children = signal(SignalKind::child())?;
    let program = Pid::from_child(&command.spawn()?);
    std::thread::spawn(outlive_nobody);
    release_pipes()?;
    while children.recv().await.is_some() {
        if let Some(status) = reap(program)? {
            sweep().await?;
            return Ok(code_of(status));
        }
    }
    Err(io::Error::other("ends of programs are not told any more"))
}

/// Kills all of us when nobody reads what we print.
fn outlive_nobody() {
    let lifeline = io::stderr();
    let mut watched = [PollFd::new(&lifeline, PollFlags::empty())];
    while matches!(poll(&mut watched, None), Err(Errno::INTR)) {}
    rustix::process::kill_process_group(rustix::process::getpgrp(), Signal::KILL).ok();
}

/// The program's pipes are its own: their other ends see it close them.
fn release_pipes() -> io::Result<()> {
    let nothing = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}

/// Reaps whatever has ended; returns how `program` did, if it is among that.
fn reap(program: Pid) -> io::Result<Option<WaitStatus>> {
    let mut ended = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == program => ended = Some(status),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(ended),
            Err(Errno::INTR) => {}
            Err(fault) => return Err(fault.into()),
        }
    }
}

/// Kills what is left of the group, without ourselves, and reaps it.
async fn sweep() -> io::Result<()> {
    let group = rustix::process::getpgrp();
    if let Some(parent) = rustix::process::getppid() {
        let elsewhere = rustix::process::getpgid(Some(parent))?;
        rustix::process::setpgid(None, Some(elsewhere))?;
        match rustix::process::kill_process_group(group, Signal::KILL) {
            Ok(()) => {}
            // Nobody is left.
            Err(Errno::SRCH) => return Ok(()),
            Err(fault) => return Err(fault.into()),
        }
    }
    let reaped = async {
        while !matches!(rustix::process::wait(WaitOptions::NOHANG), Err(Errno::CHILD)) {
            tokio::time::sleep(REAPING.1).await;
        }
    };
    // What has left the group lives on.
    tokio::time::timeout(REAPING.0, reaped).await.ok();
    Ok(())
}

fn code_of(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn failed(reason: &str, code: u8) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::from(code)
}
