//! One of the real programs as a child process that ends with the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::wait::{PATIENCE, until};

/// A running program and everything that it has printed.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// The program `name` that was built together with the running test.
///
/// # Panics
/// When it was not built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let folder = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let path = folder.join(name);
    assert!(path.exists(), "{} was not built", path.display());
    path
}

impl Program {
    /// Starts `name` with `arguments` and these variables.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary(name));
        command.args(arguments).envs(variables.iter().copied());
        Self::run(command)
    }

    /// Starts a command as it stands, such as a shell that sets a limit and then becomes one of the programs.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(mut command: Command) -> Self {
        command.env_remove("RUST_LOG").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|fault| panic!("{command:?} cannot be started: {fault}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(collect(child.stdout.take(), Arc::clone(&lines)));
        tokio::spawn(collect(child.stderr.take(), Arc::clone(&lines)));
        Self { child, lines }
    }

    /// Everything that was printed so far.
    pub fn printed(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The first line for which `find` finds something.
    ///
    /// # Panics
    /// When none comes in time, or the program ends.
    pub async fn line<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        until(what, async || {
            if let Some(found) = self.printed().lines().find_map(&find) {
                return Some(found);
            }
            let ended = self.child.try_wait().ok().flatten();
            assert!(ended.is_none(), "ended with {ended:?} before: {what}\n{}", self.printed());
            None
        })
        .await
    }

    /// The address in the JSON log line with this message.
    ///
    /// # Panics
    /// As [`Self::line`].
    pub async fn address(&mut self, message: &str) -> SocketAddr {
        self.line(message, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == message).then(|| line["address"].as_str()?.parse().ok())?
        })
        .await
    }

    /// Kills it without a warning, as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Asks it to end, as Kubernetes does.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends it a signal: `STOP` stops it in its tracks, `CONT` lets it go on.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().await.expect("kill runs");
        assert!(sent.success(), "SIG{signal} could not be sent to {id}");
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("still running\n{}", self.printed()),
        }
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// Runs the program `name` to its end: its exit code and what it printed.
///
/// # Panics
/// When it cannot be started, or does not end in time.
pub async fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary(name));
    let running = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, running).await.expect("it ends in time").expect("it can be started");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

async fn collect(output: Option<impl AsyncRead + Unpin>, lines: Arc<Mutex<Vec<String>>>) {
    let Some(output) = output else { return };
    let mut reader = BufReader::new(output).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
