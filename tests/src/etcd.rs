//! Real etcd: one member or several on loopback, that can be killed, paused and started again.

use std::net::SocketAddr;
use std::process::Stdio;

pub use mesh_examples::etcd::store_url;
use mesh_examples::etcd::{Addresses, name};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::exchange;
use crate::program::Program;
use crate::wait::until;

/// Names another binary than the one on the path.
const BINARY: &str = "MESH_TEST_ETCD";
/// Times a start is tried: a port that was free may be taken in between.
const ATTEMPTS: usize = 5;

/// A cluster of etcd.
#[derive(Debug)]
pub struct Etcd {
    addresses: Addresses,
    /// Those who run.
    members: Vec<Option<Program>>,
    flags: Vec<String>,
    directory: TempDir,
}

impl Etcd {
    /// Starts so many members and waits until they have a leader.
    ///
    /// # Panics
    /// When there is no etcd, or it does not start.
    pub async fn start(members: usize) -> Self {
        Self::start_with(members, &[]).await
    }

    /// Starts so many members with these flags.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_with(members: usize, flags: &[&str]) -> Self {
        let binary = binary();
        let found = Command::new(&binary).arg("--version").stdout(Stdio::null()).status().await;
        assert!(
            found.is_ok_and(|found| found.success()),
            "{binary} is needed: install etcd (Debian: apt-get install etcd-server), or set {BINARY} to where it is"
        );
        for _ in 0..ATTEMPTS {
            let mut this = Self::with_free_ports(members, flags);
            (0..members).for_each(|member| this.run(member));
            if this.is_up().await {
                return this;
            }
        }
        panic!("etcd did not start in {ATTEMPTS} attempts");
    }

    fn with_free_ports(members: usize, flags: &[&str]) -> Self {
        Self {
            addresses: Addresses::free(members).expect("free ports"),
            members: (0..members).map(|_| None).collect(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            directory: tempfile::tempdir().expect("a fresh directory"),
        }
    }

    /// Starts a member that is down, with what it knew.
    pub fn run(&mut self, member: usize) {
        let mut command = self.addresses.command(binary(), self.directory.path(), member);
        command.args(&self.flags);
        self.members[member] = Some(Program::run(command));
    }

    /// Waits until every member answers and has a leader; false when one has ended.
    async fn is_up(&mut self) -> bool {
        until("etcd has a leader", async || {
            let mut is_up = true;
            for member in 0..self.members.len() {
                if self.members[member].as_mut().is_some_and(Program::has_ended) {
                    return Some(false);
                }
                is_up &= self.status(member).await.is_some_and(|status| status["leader"].is_string());
            }
            is_up.then_some(true)
        })
        .await
    }

    /// Waits until every member that runs has a leader.
    pub async fn recovers(&self) {
        until("etcd has a leader again", async || {
            for member in (0..self.members.len()).filter(|member| self.members[*member].is_some()) {
                self.status(member).await.filter(|status| status["leader"].is_string())?;
            }
            Some(())
        })
        .await;
    }

    /// The store URL with all members.
    pub fn url(&self) -> String {
        self.addresses.url()
    }

    /// Where clients find each member.
    pub fn clients(&self) -> &[SocketAddr] {
        &self.addresses.clients
    }

    /// The member that leads.
    ///
    /// # Panics
    /// When none does for long.
    pub async fn leader(&self) -> usize {
        until("one of them leads", async || {
            for member in 0..self.members.len() {
                let status = self.status(member).await;
                if status.is_some_and(|status| status["leader"] == status["header"]["member_id"]) {
                    return Some(member);
                }
            }
            None
        })
        .await
    }

    /// Ends a member without a warning.
    pub async fn kill(&mut self, member: usize) {
        if let Some(mut program) = self.members[member].take() {
            program.kill().await;
        }
    }

    /// Stops a member in its tracks, or lets it go on.
    pub async fn signal(&self, member: usize, signal: &str) {
        if let Some(program) = &self.members[member] {
            program.signal(signal).await;
        }
    }

    /// Keeps a copy of what a member that is down knows.
    pub async fn keep_copy(&self, member: usize) {
        self.copy(&name(member), "copy").await;
    }

    /// Has a member that is down know what it knew when the copy was made.
    pub async fn back_to_copy(&self, member: usize) {
        let directory = self.directory.path().join(name(member));
        std::fs::remove_dir_all(directory).expect("a member has a directory");
        self.copy("copy", &name(member)).await;
    }

    async fn copy(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|name| self.directory.path().join(name));
        let copied = Command::new("cp").arg("-a").args([from, to]).status().await.expect("cp runs");
        assert!(copied.success(), "a member's directory cannot be copied");
    }

    /// The newest revision.
    pub async fn revision(&self) -> u64 {
        until("etcd says its revision", async || {
            let status = self.status(0).await?;
            status["header"]["revision"].as_str()?.parse().ok()
        })
        .await
    }

    /// Forgets what was before `revision`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn compact(&self, revision: u64) {
        let forgotten = json!({"revision": revision.to_string(), "physical": true});
        let answer = exchange::post(self.addresses.clients[0], "/v3/kv/compaction", &forgotten).await;
        assert_eq!(answer.map(|answer| answer.status).ok(), Some(200), "compaction at {revision}");
    }

    /// Gives the room back that is not in use, and tells the first member that there is some.
    ///
    /// # Panics
    /// When it does not.
    pub async fn make_room(&self) {
        let status = self.status(0).await.expect("the first member answers");
        let member = &status["header"]["member_id"];
        let disarmed = json!({"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": member});
        for (target, said) in
            [("/v3/maintenance/defragment", &json!({})), ("/v3/maintenance/alarm", &disarmed)]
        {
            let answer = exchange::post(self.addresses.clients[0], target, said).await;
            assert_eq!(answer.map(|answer| answer.status).ok(), Some(200), "{target}");
        }
    }

    async fn status(&self, member: usize) -> Option<Value> {
        let client = self.addresses.clients[member];
        let answer = exchange::post(client, "/v3/maintenance/status", &json!({})).await.ok()?;
        (answer.status == 200).then(|| answer.json())
    }
}

fn binary() -> String {
    std::env::var(BINARY).unwrap_or_else(|_| "etcd".to_owned())
}
