//! A TCP relay that can be cut or fall silent, so that a peer or a registry goes away without being told.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay to one address.
#[derive(Debug)]
pub struct Cutter {
    /// Where it listens.
    pub address: SocketAddr,
    line: watch::Sender<Line>,
}

/// What becomes of connections, those that are open and new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// They are relayed.
    Open,
    /// They are closed at once.
    Cut,
    /// They stay open and nothing passes, as when a network swallows everything.
    Silent,
}

impl Cutter {
    /// Relays to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let (line, seen) = watch::channel(Line::Open);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(relay(stream, target, seen.clone()));
            }
        });
        Self { address, line }
    }

    /// Cuts all connections, and new ones until [`Self::mend`].
    pub fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Lets nothing pass until [`Self::mend`].
    pub fn silence(&self) {
        self.line.send_replace(Line::Silent);
    }

    /// Lets new connections through. Those that were silent are closed.
    pub fn mend(&self) {
        self.line.send_replace(Line::Open);
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, mut line: watch::Receiver<Line>) {
    let server =
        if *line.borrow_and_update() == Line::Open { TcpStream::connect(target).await.ok() } else { None };
    if let Some(mut server) = server {
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            _ = line.wait_for(|line| *line != Line::Open) => {}
        }
    }
    // The client's end is held, and closed with the silence.
    let _ = line.wait_for(|line| *line != Line::Silent).await;
}
