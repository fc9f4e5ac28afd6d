//! One connection: what is on its way in each direction. No clock and no links: both are arguments.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who opened it.
    Client,
    /// Who accepted it.
    Server,
}

/// Something on its way.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes.
    Data(Bytes),
    /// Nothing more will come.
    End,
    /// The connection broke.
    Broken,
}

/// What there is to read.
#[derive(Debug)]
pub(crate) enum Readable {
    /// Something.
    Now(Piece),
    /// Something, then.
    At(Instant),
    /// Nothing yet.
    Nothing,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who opened it, and who accepted it.
    pub(crate) ends: [IpAddr; 2],
    /// For which sides it is broken: whoever uses it there is told.
    is_broken: [bool; 2],
    /// Whether it has to be broken once the link between its ends is open again.
    pub(crate) is_doomed: bool,
    ways: [Way; 2],
    is_dropped: [bool; 2],
}

/// The way towards one end.
#[derive(Debug, Default)]
struct Way {
    pieces: VecDeque<(Instant, Piece)>,
    last: Option<Instant>,
    reader: Option<Waker>,
}

// === impl Side ===

impl Side {
    /// The other end.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

// === impl Connection ===

impl Connection {
    /// A new one.
    pub(crate) fn between(client: IpAddr, server: IpAddr) -> Self {
        Self {
            ends: [client, server],
            is_broken: [false; 2],
            is_doomed: false,
            ways: Default::default(),
            is_dropped: [false; 2],
        }
    }

    /// Sends a piece from `side`, to arrive at `at` and not before what was sent before.
    pub(crate) fn send(&mut self, side: Side, at: Instant, piece: Piece) {
        let way = &mut self.ways[side.other() as usize];
        let at = way.last.map_or(at, |last| last.max(at));
        way.last = Some(at);
        way.pieces.push_back((at, piece));
        way.reader.take().into_iter().for_each(Waker::wake);
    }

    /// What `side` has to read now; it is woken by `waker` when that changes.
    pub(crate) fn read(&mut self, side: Side, most: usize, now: Instant, waker: &Waker) -> Readable {
        let way = &mut self.ways[side as usize];
        match way.pieces.front_mut() {
            Some((at, _)) if *at > now => Readable::At(*at),
            Some((_, Piece::Data(bytes))) if bytes.len() > most => {
                Readable::Now(Piece::Data(bytes.split_to(most)))
            }
            // The end stays the end.
            Some((_, Piece::End)) => Readable::Now(Piece::End),
            Some(_) => way.pieces.pop_front().map_or(Readable::Nothing, |(_, piece)| Readable::Now(piece)),
            None => {
                way.reader = Some(waker.clone());
                Readable::Nothing
            }
        }
    }

    /// Has `waker` woken when anything changes for `side`.
    pub(crate) fn wait(&mut self, side: Side, waker: &Waker) {
        self.ways[side as usize].reader = Some(waker.clone());
    }

    /// Breaks it: what is on its way is lost.
    pub(crate) fn break_off(&mut self) {
        self.is_broken = [true; 2];
        self.wake();
    }

    /// The process at `side` ends: its system says at the other end that nothing more will come. What is sent to it from
    /// there is taken, and lost.
    pub(crate) fn lose(&mut self, side: Side, now: Instant) {
        self.send(side, now, Piece::End);
        self.is_broken[side as usize] = true;
        self.wake();
    }

    /// Whether it is broken for `side`.
    pub(crate) fn is_broken(&self, side: Side) -> bool {
        self.is_broken[side as usize]
    }

    /// Wakes whoever reads.
    pub(crate) fn wake(&mut self) {
        self.ways.iter_mut().filter_map(|way| way.reader.take()).for_each(Waker::wake);
    }

    /// Notes that `side` does not use it any more; returns whether nobody does.
    pub(crate) fn dropped(&mut self, side: Side) -> bool {
        self.is_dropped[side as usize] = true;
        self.is_dropped == [true; 2]
    }
}
