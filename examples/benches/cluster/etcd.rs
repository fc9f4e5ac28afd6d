//! Members of a real etcd on loopback, and what they say about their work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Uri;
use mesh_examples::etcd::Addresses;
use mesh_examples::loadgen::process::Process;
use mesh_examples::loadgen::wire::{Base, Connection};
use tempfile::TempDir;
use tokio::process::Child;

/// Time for the members to have a leader, and pause between two looks.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// What a member may keep, in bytes.
const QUOTA: &str = "8589934592";

/// A cluster of etcd, which ends with this.
pub(crate) struct Etcd {
    members: Vec<Member>,
    /// The store URL.
    pub(crate) url: String,
    _directory: TempDir,
}

struct Member {
    address: SocketAddr,
    process: Process,
    _child: Child,
}

/// The work of all members together since they were started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// CPU time.
    pub(crate) cpu: Duration,
    /// Changes that were agreed on: each once, however many members there are.
    pub(crate) proposals: f64,
    /// Bytes that clients sent.
    pub(crate) received: f64,
    /// Bytes of the database of one member, and of what of it is in use.
    pub(crate) size: f64,
    pub(crate) in_use: f64,
    /// Resident memory of all.
    pub(crate) resident: u64,
}

impl Etcd {
    /// Starts so many members and waits until they have a leader.
    pub(crate) async fn start(program: &Path, members: usize) -> anyhow::Result<Self> {
        let (directory, addresses) = (TempDir::new()?, Addresses::free(members)?);
        let mut started = Vec::new();
        for (member, address) in addresses.clients.iter().copied().enumerate() {
            let mut command = addresses.command(program, directory.path(), member);
            command.args(["--quota-backend-bytes", QUOTA]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            let child = command.spawn().with_context(|| {
                format!("{} is needed (Debian: apt-get install etcd-server)", program.display())
            })?;
            let process = Process(child.id().context("it has only been started")?);
            started.push(Member { address, process, _child: child });
        }
        let url = addresses.url();
        let this = Self { members: started, url, _directory: directory };
        let began = Instant::now();
        while this.healthy().await.is_err() {
            ensure!(began.elapsed() < PATIENCE, "etcd has no leader in time");
            tokio::time::sleep(LOOK).await;
        }
        Ok(this)
    }

    async fn healthy(&self) -> anyhow::Result<()> {
        for member in &self.members {
            Connection::to(&Base::from(member.address)).fetch(&Uri::from_static("/health")).await?;
        }
        Ok(())
    }

    /// Its work so far.
    pub(crate) async fn work(&self) -> anyhow::Result<Work> {
        let mut work =
            Work { cpu: Duration::ZERO, proposals: 0.0, received: 0.0, size: 0.0, in_use: 0.0, resident: 0 };
        for member in &self.members {
            let metrics = metrics(member.address).await?;
            let metric = |name: &str| metrics.get(name).copied().unwrap_or_default();
            work.cpu += member.process.cpu()?;
            work.resident += member.process.resident()?;
            work.received += metric("etcd_network_client_grpc_received_bytes_total");
            work.proposals = work.proposals.max(metric("etcd_server_proposals_committed_total"));
            work.size = work.size.max(metric("etcd_mvcc_db_total_size_in_bytes"));
            work.in_use = work.in_use.max(metric("etcd_mvcc_db_total_size_in_use_in_bytes"));
        }
        Ok(work)
    }
}

async fn metrics(member: SocketAddr) -> anyhow::Result<BTreeMap<String, f64>> {
    let answer = Connection::to(&Base::from(member)).fetch(&Uri::from_static("/metrics")).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}
