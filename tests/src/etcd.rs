//! Real etcd: one member or several on loopback, that can be killed, paused and started again.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

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
    members: Vec<Member>,
    flags: Vec<String>,
    directory: TempDir,
}

/// One member, which may be down.
#[derive(Debug)]
struct Member {
    client: SocketAddr,
    peer: SocketAddr,
    program: Option<Program>,
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
        // All at once, so that they differ.
        let bound = (0..members * 2).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let bound = bound.collect::<Vec<_>>();
        let address = |listener: &TcpListener| listener.local_addr().expect("a bound port has an address");
        let members = bound.chunks(2).map(|ports| Member {
            client: address(&ports[0]),
            peer: address(&ports[1]),
            program: None,
        });
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self { members: members.collect(), flags, directory: tempfile::tempdir().expect("a fresh directory") }
    }

    /// Starts a member that is down, with what it knew.
    pub fn run(&mut self, member: usize) {
        let everyone = self.members.iter().enumerate();
        let everyone = everyone.map(|(i, other)| format!("m{i}=http://{}", other.peer)).collect::<Vec<_>>();
        let directory = self.directory.path().join(format!("m{member}"));
        let Member { client, peer, program } = &mut self.members[member];
        let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let mut command = Command::new(binary());
        command.arg("--data-dir").arg(directory).args(["--name", &format!("m{member}")]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &everyone.join(","), "--logger", "zap", "--log-level", "error"]);
        command.args(&self.flags);
        *program = Some(Program::run(command));
    }

    /// Waits until every member answers and has a leader; false when one has ended.
    async fn is_up(&mut self) -> bool {
        until("etcd has a leader", async || {
            let mut is_up = true;
            for member in &mut self.members {
                if member.program.as_mut().is_some_and(Program::has_ended) {
                    return Some(false);
                }
                is_up &= member.status().await.is_some_and(|status| status["leader"].is_string());
            }
            is_up.then_some(true)
        })
        .await
    }

    /// Waits until every member that runs has a leader.
    pub async fn recovers(&self) {
        until("etcd has a leader again", async || {
            for member in self.members.iter().filter(|member| member.program.is_some()) {
                member.status().await.filter(|status| status["leader"].is_string())?;
            }
            Some(())
        })
        .await;
    }

    /// The store URL with all members.
    pub fn url(&self) -> String {
        store_url(self.members.iter().map(|member| member.client))
    }

    /// Where clients find each member.
    pub fn clients(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.client).collect()
    }

    /// The member that leads.
    ///
    /// # Panics
    /// When none does for long.
    pub async fn leader(&self) -> usize {
        until("one of them leads", async || {
            for (number, member) in self.members.iter().enumerate() {
                let status = member.status().await;
                if status.is_some_and(|status| status["leader"] == status["header"]["member_id"]) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    /// Ends a member without a warning.
    pub async fn kill(&mut self, member: usize) {
        if let Some(mut program) = self.members[member].program.take() {
            program.kill().await;
        }
    }

    /// Stops a member in its tracks, or lets it go on.
    pub async fn signal(&self, member: usize, signal: &str) {
        if let Some(program) = &self.members[member].program {
            program.signal(signal).await;
        }
    }

    /// Keeps a copy of what a member that is down knows.
    pub async fn keep_copy(&self, member: usize) {
        self.copy(&format!("m{member}"), "copy").await;
    }

    /// Has a member that is down know what it knew when the copy was made.
    pub async fn back_to_copy(&self, member: usize) {
        let directory = self.directory.path().join(format!("m{member}"));
        std::fs::remove_dir_all(directory).expect("a member has a directory");
        self.copy("copy", &format!("m{member}")).await;
    }

    async fn copy(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|name| self.directory.path().join(name));
        let copied = Command::new("cp").arg("-a").args([from, to]).status().await.expect("cp runs");
        assert!(copied.success(), "a member's directory cannot be copied");
    }

    /// The newest revision.
    pub async fn revision(&self) -> u64 {
        until("etcd says its revision", async || {
            let status = self.members[0].status().await?;
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
        let answer = exchange::post(self.members[0].client, "/v3/kv/compaction", &forgotten).await;
        assert_eq!(answer.map(|answer| answer.status).ok(), Some(200), "compaction at {revision}");
    }

    /// Gives the room back that is not in use, and tells the first member that there is some.
    ///
    /// # Panics
    /// When it does not.
    pub async fn make_room(&self) {
        let status = self.members[0].status().await.expect("the first member answers");
        let member = &status["header"]["member_id"];
        let disarmed = json!({"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": member});
        for (target, said) in
            [("/v3/maintenance/defragment", &json!({})), ("/v3/maintenance/alarm", &disarmed)]
        {
            let answer = exchange::post(self.members[0].client, target, said).await;
            assert_eq!(answer.map(|answer| answer.status).ok(), Some(200), "{target}");
        }
    }
}

impl Member {
    async fn status(&self) -> Option<Value> {
        let answer = exchange::post(self.client, "/v3/maintenance/status", &json!({})).await.ok()?;
        (answer.status == 200).then(|| answer.json())
    }
}

/// The store URL with these members.
pub fn store_url(members: impl IntoIterator<Item = SocketAddr>) -> String {
    let members = members.into_iter().map(|member| member.to_string()).collect::<Vec<_>>();
    format!("etcd://{}", members.join(","))
}

fn binary() -> String {
    std::env::var(BINARY).unwrap_or_else(|_| "etcd".to_owned())
}
