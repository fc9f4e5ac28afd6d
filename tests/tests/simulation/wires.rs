//! What a network consists of: hosts, what lies between them, and their connections. Who may use which of it when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connection::{Connection, Side};
use crate::link::{Link, Passage};

/// Names a connection.
pub(crate) type Number = u64;

/// What a network consists of.
pub(crate) struct Wires {
    /// What chance decides on the way.
    pub(crate) rng: SmallRng,
    /// What lies between hosts, where it is not the usual.
    pub(crate) links: BTreeMap<(IpAddr, IpAddr), Link>,
    /// Hosts without power.
    pub(crate) dark: BTreeSet<IpAddr>,
    /// How often each host has started; what a run before left behind must not be heard any more.
    pub(crate) runs: BTreeMap<IpAddr, u32>,
    /// Who accepts connections.
    pub(crate) listeners: BTreeMap<SocketAddr, mpsc::UnboundedSender<Number>>,
    /// Those that somebody uses.
    pub(crate) connections: BTreeMap<Number, Connection>,
    next: Number,
}

impl Wires {
    /// No hosts and no links; chance decides as `seed` says.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            links: BTreeMap::new(),
            dark: BTreeSet::new(),
            runs: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            next: 0,
        }
    }

    /// Whether `from` reaches `to`, and the time there and back.
    pub(crate) fn way_to(&mut self, from: IpAddr, to: IpAddr) -> (Passage, Duration) {
        if from == to {
            return (Passage::Open, Duration::ZERO);
        }
        let link = *self.links.entry(pair(from, to)).or_default();
        let passage = passage(&self.links, &self.dark, from, to);
        (passage, link.time(0, &mut self.rng) + link.time(0, &mut self.rng))
    }

    /// Opens a connection, if anybody listens there.
    pub(crate) fn open(&mut self, from: IpAddr, run: u32, to: SocketAddr) -> Option<Number> {
        let is_ours = self.runs.get(&from) == Some(&run);
        let listener = self.listeners.get(&to).filter(|_| is_ours)?;
        let number = self.next;
        listener.send(number).ok()?;
        self.next += 1;
        self.connections.insert(number, Connection::between(from, to.ip()));
        Some(number)
    }

    /// The process at a host has ended: others are told, unless nothing gets through to them.
    pub(crate) fn lose(&mut self, host: IpAddr) {
        let (links, dark, now) = (&self.links, &self.dark, Instant::now());
        for connection in self.connections.values_mut().filter(|one| one.ends.contains(&host)) {
            let [client, server] = connection.ends;
            if client == server || passage(links, dark, client, server) == Passage::Refuses {
                connection.break_off();
            } else {
                connection.is_doomed = passage(links, dark, client, server) == Passage::Hangs;
                connection.lose(if client == host { Side::Client } else { Side::Server }, now);
            }
        }
    }

    /// Breaks connections; where nothing gets through, later.
    pub(crate) fn break_those(&mut self, which: impl Fn([IpAddr; 2]) -> bool) {
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
    pub(crate) fn settle(&mut self) {
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

/// What gets through between two hosts.
pub(crate) fn passage(
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

/// Two hosts, whichever is named first.
pub(crate) fn pair(a: IpAddr, b: IpAddr) -> (IpAddr, IpAddr) {
    (a.min(b), a.max(b))
}
