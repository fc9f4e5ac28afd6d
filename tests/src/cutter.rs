//! A TCP relay that can be cut, so that a peer or a registry goes away without being told.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay to one address. While it is cut, connections break and new ones are closed at once.
#[derive(Debug)]
pub struct Cutter {
    /// Where it listens.
    pub address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Cutter {
    /// Relays to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let (is_cut, cut_seen) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(relay(stream, target, cut_seen.clone()));
            }
        });
        Self { address, is_cut }
    }

    /// Cuts all connections, and new ones until [`Self::mend`].
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets new connections through.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    if *is_cut.borrow_and_update() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
    }
}
