//! The simulated network: hosts, links between them, and the connections over these. Everything lies in memory, and time
//! is that of the paused clock.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::connection::{Piece, Readable, Side};
use crate::link::{Link, Passage};
use crate::trace::Trace;
use crate::wires::{Number, Wires, pair, passage};

/// Connections that a host has accepted.
pub(crate) type Accepted = mpsc::UnboundedReceiver<Number>;

/// The network. Clones are the same.
#[derive(Clone)]
pub(crate) struct Network {
    wires: Arc<Mutex<Wires>>,
    changed: Arc<Notify>,
    trace: Trace,
}

impl Network {
    /// A network without hosts, in which chance decides as `seed` says.
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        Self { wires: Arc::new(Mutex::new(Wires::new(seed))), changed: Arc::default(), trace }
    }

    // === what hosts do ===

    /// A host starts, and gets the number of this run. Connections of the run before are broken.
    pub(crate) fn start(&self, host: IpAddr) -> u32 {
        let mut wires = self.wires();
        wires.dark.remove(&host);
        let run = wires.runs.entry(host).or_default();
        *run += 1;
        let run = *run;
        wires.break_those(|ends| ends.contains(&host));
        drop(wires);
        self.changed.notify_waiters();
        run
    }

    /// The process on a host ends, and its system says so to everybody who is connected.
    pub(crate) fn crash(&self, host: IpAddr) {
        let mut wires = self.wires();
        *wires.runs.entry(host).or_default() += 1;
        wires.listeners.retain(|address, _| address.ip() != host);
        wires.lose(host);
    }

    /// A host loses its power: nobody is told anything.
    pub(crate) fn darken(&self, host: IpAddr) {
        let mut wires = self.wires();
        wires.dark.insert(host);
        *wires.runs.entry(host).or_default() += 1;
        wires.listeners.retain(|address, _| address.ip() != host);
        let left = wires.connections.values_mut().filter(|one| one.ends.contains(&host));
        left.for_each(|one| one.is_doomed = true);
    }

    /// Accepts connections at `address`.
    pub(crate) fn listen(&self, address: SocketAddr) -> Accepted {
        let (sender, accepted) = mpsc::unbounded_channel();
        self.wires().listeners.insert(address, sender);
        accepted
    }

    /// Opens a connection from run number `run` of `from`.
    pub(crate) async fn connect(&self, from: IpAddr, run: u32, to: SocketAddr) -> io::Result<Number> {
        loop {
            let changed = self.changed.notified();
            let (passage, there_and_back) = self.wires().way_to(from, to.ip());
            match passage {
                Passage::Hangs => changed.await,
                Passage::Refuses => return Err(io::ErrorKind::HostUnreachable.into()),
                Passage::Open => {
                    sleep(there_and_back).await;
                    let opened = self.wires().open(from, run, to);
                    let what = if opened.is_some() { "opened" } else { "refused" };
                    self.trace.mark(format_args!("{from} to {to}: {what}"));
                    return opened.ok_or_else(|| io::ErrorKind::ConnectionRefused.into());
                }
            }
        }
    }

    // === what happens to links ===

    /// Changes the link between two hosts.
    pub(crate) fn relink(&self, a: IpAddr, b: IpAddr, change: impl FnOnce(&mut Link)) {
        let mut wires = self.wires();
        let link = wires.links.entry(pair(a, b)).or_default();
        change(link);
        if link.passage == Passage::Refuses {
            wires.break_those(|ends| pair(ends[0], ends[1]) == pair(a, b));
        }
        wires.settle();
        drop(wires);
        self.changed.notify_waiters();
    }

    /// All links are as they were in the beginning.
    pub(crate) fn heal(&self) {
        let mut wires = self.wires();
        wires.links.clear();
        wires.settle();
        drop(wires);
        self.changed.notify_waiters();
    }

    // === what streams do ===

    /// Reads at most `most` bytes at `side`. `Err` in the inner result is when there will be something.
    pub(crate) fn poll_read(
        &self,
        number: Number,
        side: Side,
        most: usize,
        context: &Context<'_>,
    ) -> Poll<io::Result<Result<Bytes, Instant>>> {
        let (mut wires, now) = (self.wires(), Instant::now());
        let wires = &mut *wires;
        let Some(connection) = wires.connections.get_mut(&number) else { return Poll::Ready(Err(broken())) };
        if connection.is_broken(side) {
            return Poll::Ready(Err(broken()));
        }
        let [client, server] = connection.ends;
        if passage(&wires.links, &wires.dark, client, server) != Passage::Open {
            connection.wait(side, context.waker());
            return Poll::Pending;
        }
        match connection.read(side, most, now, context.waker()) {
            Readable::Now(Piece::Data(bytes)) => {
                self.trace.mark(format_args!("{number} {side:?} reads"));
                Poll::Ready(Ok(Ok(bytes)))
            }
            Readable::Now(Piece::End) => Poll::Ready(Ok(Ok(Bytes::new()))),
            Readable::Now(Piece::Broken) => {
                connection.break_off();
                Poll::Ready(Err(broken()))
            }
            Readable::At(at) => Poll::Ready(Ok(Err(at))),
            Readable::Nothing => Poll::Pending,
        }
    }

    /// Sends from `side`.
    pub(crate) fn write(&self, number: Number, side: Side, bytes: &[u8]) -> io::Result<()> {
        let mut wires = self.wires();
        let wires = &mut *wires;
        let connection = wires.connections.get_mut(&number).ok_or_else(broken)?;
        if connection.is_broken(side) {
            return Err(broken());
        }
        let [client, server] = connection.ends;
        let (now, is_near) = (Instant::now(), client == server);
        let link = wires.links.entry(pair(client, server)).or_default();
        let at = if is_near { now } else { now + link.time(bytes.len(), &mut wires.rng) };
        if side == Side::Server && !is_near && link.breaks_now(&mut wires.rng) {
            self.trace.note(format_args!("an answer of {server} to {client} breaks off"));
            // A part of it may arrive.
            if wires.rng.random_bool(0.5) {
                let part = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
                connection.send(side, at, Piece::Data(part));
            }
            connection.send(side, at, Piece::Broken);
            return Ok(());
        }
        connection.send(side, at, Piece::Data(Bytes::copy_from_slice(bytes)));
        Ok(())
    }

    /// `side` sends nothing more.
    pub(crate) fn end(&self, number: Number, side: Side) {
        let mut wires = self.wires();
        let wires = &mut *wires;
        let Some(connection) = wires.connections.get_mut(&number) else { return };
        let [client, server] = connection.ends;
        let link = wires.links.entry(pair(client, server)).or_default();
        let on_its_way = if client == server { Duration::ZERO } else { link.latency };
        connection.send(side, Instant::now() + on_its_way, Piece::End);
    }

    /// `side` does not use the connection any more.
    pub(crate) fn forget(&self, number: Number, side: Side) {
        self.end(number, side);
        let mut wires = self.wires();
        if wires.connections.get_mut(&number).is_some_and(|connection| connection.dropped(side)) {
            wires.connections.remove(&number);
        }
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
