//! The simulated network: hosts, links between them, and the connections over these. Everything lies in memory, and time
//! is that of the paused clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, Piece, Readable, Side};
use crate::link::{Link, Passage};
use crate::trace::Trace;

/// Names a connection.
pub(crate) type Number = u64;
/// Connections that a host has accepted.
pub(crate) type Accepted = mpsc::UnboundedReceiver<Number>;

/// The network. Clones are the same.
#[derive(Clone)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    trace: Trace,
}

struct State {
    rng: SmallRng,
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    /// Hosts without power.
    dark: BTreeSet<IpAddr>,
    /// How often each host has started; what a run before left behind must not be heard any more.
    runs: BTreeMap<IpAddr, u32>,
    listeners: BTreeMap<SocketAddr, mpsc::UnboundedSender<Number>>,
    connections: BTreeMap<Number, Connection>,
    next: Number,
}

impl Network {
    /// A network without hosts, in which chance decides as `seed` says.
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let state = State {
            rng: SmallRng::seed_from_u64(seed),
            links: BTreeMap::new(),
            dark: BTreeSet::new(),
            runs: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            next: 0,
        };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::default(), trace }
    }

    // === what hosts do ===

    /// A host starts, and gets the number of this run. Connections of the run before are broken.
    pub(crate) fn start(&self, host: IpAddr) -> u32 {
        let mut state = self.state();
        state.dark.remove(&host);
        let run = state.runs.entry(host).or_default();
        *run += 1;
        let run = *run;
        state.break_those(|ends| ends.contains(&host));
        drop(state);
        self.changed.notify_waiters();
        run
    }

    /// The process on a host ends, and its system says so to everybody who is connected.
    pub(crate) fn crash(&self, host: IpAddr) {
        let mut state = self.state();
        *state.runs.entry(host).or_default() += 1;
        state.listeners.retain(|address, _| address.ip() != host);
        state.break_those(|ends| ends.contains(&host));
    }

    /// A host loses its power: nobody is told anything.
    pub(crate) fn darken(&self, host: IpAddr) {
        let mut state = self.state();
        state.dark.insert(host);
        *state.runs.entry(host).or_default() += 1;
        state.listeners.retain(|address, _| address.ip() != host);
        let left = state.connections.values_mut().filter(|one| one.ends.contains(&host));
        left.for_each(|one| one.is_doomed = true);
    }

    /// Accepts connections at `address`.
    pub(crate) fn listen(&self, address: SocketAddr) -> Accepted {
        let (sender, accepted) = mpsc::unbounded_channel();
        self.state().listeners.insert(address, sender);
        accepted
    }

    /// Opens a connection from run number `run` of `from`.
    pub(crate) async fn connect(&self, from: IpAddr, run: u32, to: SocketAddr) -> io::Result<Number> {
        loop {
            let changed = self.changed.notified();
            let (passage, there_and_back) = self.state().way_to(from, to.ip());
            match passage {
                Passage::Hangs => changed.await,
                Passage::Refuses => return Err(io::ErrorKind::HostUnreachable.into()),
                Passage::Open => {
                    sleep(there_and_back).await;
                    let opened = self.state().open(from, run, to);
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
        let mut state = self.state();
        let link = state.links.entry(pair(a, b)).or_default();
        change(link);
        if link.passage == Passage::Refuses {
            state.break_those(|ends| pair(ends[0], ends[1]) == pair(a, b));
        }
        state.settle();
        drop(state);
        self.changed.notify_waiters();
    }

    /// All links are as they were in the beginning.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.links.clear();
        state.settle();
        drop(state);
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
        let (mut state, now) = (self.state(), Instant::now());
        let state = &mut *state;
        let Some(connection) = state.connections.get_mut(&number) else { return Poll::Ready(Err(broken())) };
        if connection.is_broken {
            return Poll::Ready(Err(broken()));
        }
        let [client, server] = connection.ends;
        if passage(&state.links, &state.dark, client, server) != Passage::Open {
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
        let mut state = self.state();
        let state = &mut *state;
        let connection = state.connections.get_mut(&number).ok_or_else(broken)?;
        if connection.is_broken {
            return Err(broken());
        }
        let [client, server] = connection.ends;
        let (now, is_near) = (Instant::now(), client == server);
        let link = state.links.entry(pair(client, server)).or_default();
        let at = if is_near { now } else { now + link.time(bytes.len(), &mut state.rng) };
        if side == Side::Server && !is_near && link.breaks_now(&mut state.rng) {
            self.trace.note(format_args!("an answer of {server} to {client} breaks off"));
            // A part of it may arrive.
            if state.rng.random_bool(0.5) {
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
        let mut state = self.state();
        let state = &mut *state;
        let Some(connection) = state.connections.get_mut(&number) else { return };
        let [client, server] = connection.ends;
        let link = state.links.entry(pair(client, server)).or_default();
        let on_its_way = if client == server { Duration::ZERO } else { link.latency };
        connection.send(side, Instant::now() + on_its_way, Piece::End);
    }

    /// `side` does not use the connection any more.
    pub(crate) fn forget(&self, number: Number, side: Side) {
        self.end(number, side);
        let mut state = self.state();
        if state.connections.get_mut(&number).is_some_and(|connection| connection.dropped(side)) {
            state.connections.remove(&number);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether `from` reaches `to`, and the time there and back.
    fn way_to(&mut self, from: IpAddr, to: IpAddr) -> (Passage, Duration) {
        if from == to {
            return (Passage::Open, Duration::ZERO);
        }
        let link = *self.links.entry(pair(from, to)).or_default();
        let passage = passage(&self.links, &self.dark, from, to);
        (passage, link.time(0, &mut self.rng) + link.time(0, &mut self.rng))
    }

    fn open(&mut self, from: IpAddr, run: u32, to: SocketAddr) -> Option<Number> {
        let is_ours = self.runs.get(&from) == Some(&run);
        let listener = self.listeners.get(&to).filter(|_| is_ours)?;
        let number = self.next;
        listener.send(number).ok()?;
        self.next += 1;
        self.connections.insert(number, Connection::between(from, to.ip()));
        Some(number)
    }

    fn break_those(&mut self, which: impl Fn([IpAddr; 2]) -> bool) {
        let (links, dark) = (&self.links, &self.dark);
        for connection in self.connections.values_mut().filter(|one| which(one.ends)) {
            let [client, server] = connection.ends;
            // Where nothing gets through, nobody is told that a connection broke.
            connection.is_doomed = true;
            if passage(links, dark, client, server) != Passage::Hangs {
                connection.break_off();
            }
        }
    }

    /// After a change of links: those who wait look again.
    fn settle(&mut self) {
        let (links, dark) = (&self.links, &self.dark);
        for connection in self.connections.values_mut() {
            let [client, server] = connection.ends;
            if connection.is_doomed && passage(links, dark, client, server) != Passage::Hangs {
                connection.break_off();
            }
            connection.wake();
        }
    }
}

fn passage(
    links: &BTreeMap<(IpAddr, IpAddr), Link>,
    dark: &BTreeSet<IpAddr>,
    a: IpAddr,
    b: IpAddr,
) -> Passage {
    if dark.contains(&a) || dark.contains(&b) {
        return Passage::Hangs;
    }
    links.get(&pair(a, b)).map_or(Passage::Open, |link| link.passage)
}

fn pair(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    (a.min(b), a.max(b))
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
