//! A cluster of etcd on loopback, for tests and measurements: where its members listen, and how each is started.

use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use tokio::process::Command;

/// Where the members listen.
#[derive(Debug)]
pub struct Addresses {
    /// For clients.
    pub clients: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
}

impl Addresses {
    /// Ports for so many members that are free now, and may be taken by the time that they are used.
    ///
    /// # Errors
    /// When there are none.
    pub fn free(members: usize) -> io::Result<Self> {
        // All at once, so that they differ.
        let bound =
            (0..members * 2).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
        let mut clients = bound.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let peers = clients.split_off(members);
        Ok(Self { clients, peers })
    }

    /// What starts `member`, which keeps what it knows below `directory`.
    pub fn command(&self, program: impl AsRef<OsStr>, directory: &Path, member: usize) -> Command {
        let everyone = self.peers.iter().enumerate().map(|(i, peer)| format!("{}=http://{peer}", name(i)));
        let everyone = everyone.collect::<Vec<_>>().join(",");
        let client = format!("http://{}", self.clients[member]);
        let peer = format!("http://{}", self.peers[member]);
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(directory.join(name(member))).args(["--name", &name(member)]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &everyone, "--logger", "zap", "--log-level", "error"]);
        command
    }

    /// The store URL with all members.
    pub fn url(&self) -> String {
        store_url(self.clients.iter().copied())
    }
}

/// The name of a member, and of its folder.
pub fn name(member: usize) -> String {
    format!("m{member}")
}

/// The store URL with these members.
pub fn store_url(members: impl IntoIterator<Item = SocketAddr>) -> String {
    let members = members.into_iter().map(|member| member.to_string()).collect::<Vec<_>>();
    format!("etcd://{}", members.join(","))
}
