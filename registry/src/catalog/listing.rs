//! The answer to a discovery query, as bytes: rendered at once when it is small, when the first one needs the bytes, and
//! a piece at a time when it is large, so that the largest answer costs no more memory than a small one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use mesh_api::page::PageInfo;

use super::hit::Hit;
use super::page::Page;
use super::query::Kind;
use super::render;
use super::vitals::{Showing, Vitals};

/// Most bytes that are rendered at once, and so can be given again.
const MAX_AT_ONCE: usize = 8 * 1024 * 1024;
/// Bytes in one piece of an answer that has more, but for its last row.
const PIECE_BYTES: usize = 256 * 1024;
/// An odd number with bits all over: multiplying by it spreads what differs in a few bits over all of them (the golden
/// ratio, as in Fibonacci hashing).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The answer to a discovery query.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The rows, without what is said about them.
    pub rows: Arc<Rows>,
    /// The newest change that the answer takes into account.
    pub revision: u64,
    /// Whether every agent there is has had the time to register.
    pub is_warm: bool,
}

/// The rows of an answer. Whoever asks the same of the same catalog gets the same rows.
#[derive(Debug)]
pub struct Rows {
    kind: Kind,
    hits: Vec<Hit>,
    /// What the rows show of the agents' vitals, heartbeats for one; empty for rows that show nothing of the kind.
    shown: Vec<(Arc<Vitals>, Showing)>,
    total: usize,
    continue_token: Option<String>,
    /// Differs when the content does, but for clocks and revisions.
    fingerprint: u64,
    /// About how many bytes they are.
    room: usize,
    /// The beginning of the answer up to its last row, once somebody has asked for it.
    rendered: OnceLock<Bytes>,
}

/// An answer as it is sent.
#[derive(Debug)]
pub enum Pieces {
    /// What comes first, and what is said about it.
    Two(Bytes, Bytes),
    /// As many as it takes.
    Many(Rendering),
}

/// The pieces of a large answer, each rendered when it is its turn.
#[derive(Debug)]
pub struct Rendering {
    rows: Arc<Rows>,
    next: usize,
    end: Option<Bytes>,
}

// === impl Rows ===

impl Rows {
    /// The rows of a page.
    pub(super) fn of(page: Page, kind: Kind) -> Self {
        let Page { hits, total, continue_token } = page;
        Self::new(kind, hits, usize::try_from(total).unwrap_or(usize::MAX), continue_token)
    }

    fn new(kind: Kind, hits: Vec<Hit>, total: usize, continue_token: Option<String>) -> Self {
        let shown = match kind {
            Kind::Agents => hits.iter().map(|hit| &hit.record.vitals).map(showing).collect(),
            Kind::Capabilities => Vec::new(),
        };
        let fingerprint = fingerprint(&hits, &shown, total, continue_token.as_deref());
        let room = hits.iter().zip(shown_by(&shown)).map(|(hit, shown)| hit.room(shown)).sum();
        Self { kind, hits, shown, total, continue_token, fingerprint, room, rendered: OnceLock::new() }
    }

    /// These rows if all agents still show what they showed, else the same rows as of now.
    pub fn refreshed(self: Arc<Self>) -> Arc<Self> {
        if self.shown.iter().all(|(vitals, shown)| vitals.shows(shown)) {
            return self;
        }
        Arc::new(Self::new(self.kind, self.hits.clone(), self.total, self.continue_token.clone()))
    }

    /// About how many bytes they are, if that is little enough to be kept.
    pub fn keepable_bytes(&self) -> Option<usize> {
        (self.room <= MAX_AT_ONCE).then_some(self.room)
    }

    /// All of them up to the last, unless they are too large.
    fn rendered(&self) -> Option<&Bytes> {
        self.keepable_bytes()?;
        Some(self.rendered.get_or_init(|| self.render(begin(self.kind), 0..self.hits.len())))
    }

    /// These rows, each with what it shows of its agent's vitals.
    fn rows(&self, range: Range<usize>) -> impl Iterator<Item = (&Hit, Option<&Showing>)> {
        let shown = self.shown.get(range.clone()).unwrap_or_default();
        self.hits.get(range).unwrap_or_default().iter().zip(shown_by(shown))
    }

    fn render(&self, begin: &[u8], range: Range<usize>) -> Bytes {
        let rows = || self.rows(range.clone());
        let room = rows().map(|(hit, shown)| hit.room(shown)).sum::<usize>();
        let mut out = Vec::with_capacity(begin.len() + room);
        out.extend_from_slice(begin);
        for (i, (hit, shown)) in rows().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            hit.render(shown, &mut out);
        }
        out.into()
    }
}

fn showing(vitals: &Arc<Vitals>) -> (Arc<Vitals>, Showing) {
    (Arc::clone(vitals), vitals.showing())
}

/// What each row shows of its agent's vitals; without an end.
fn shown_by(shown: &[(Arc<Vitals>, Showing)]) -> impl Iterator<Item = Option<&Showing>> {
    shown.iter().map(|(_, shown)| Some(shown)).chain(std::iter::repeat(None))
}

fn begin(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Agents => b"{\"agents\":[",
        Kind::Capabilities => b"{\"capabilities\":[",
    }
}

/// Puts together what are fingerprints, or nearly so, already: a text is hashed once and not for every answer.
fn fingerprint(
    hits: &[Hit],
    shown: &[(Arc<Vitals>, Showing)],
    total: usize,
    continue_token: Option<&str>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    (total, continue_token).hash(&mut hasher);
    let mut whole = hasher.finish();
    let mut add = |part: u64| whole = (whole.rotate_left(5) ^ part).wrapping_mul(SPREAD);
    for Hit { record, status, capability, score } in hits {
        let score = score.map_or(0, |score| u64::from(score.parts()));
        let part = capability.and_then(|index| record.layout.capabilities.get(index as usize));
        add(part.map_or(record.fingerprint, |part| part.fingerprint));
        add((score << 8) | *status as u64);
    }
    shown.iter().for_each(|(_, shown)| add(shown.fingerprint()));
    whole
}

// === impl Listing ===

impl Listing {
    /// The entity tag of the answer. Weak, because answers with the same rows differ in what their clocks say.
    pub fn etag(&self) -> String {
        let warm = if self.is_warm { "" } else { "-cold" };
        format!("W/\"{:016x}{warm}\"", self.rows.fingerprint)
    }

    /// The body of the answer, made at `now`.
    pub fn pieces(self, now: Timestamp) -> Pieces {
        let end = self.end(now);
        match self.rows.rendered() {
            Some(rows) => Pieces::Two(rows.clone(), end),
            None => Pieces::Many(Rendering { rows: self.rows, next: 0, end: Some(end) }),
        }
    }

    /// The whole body at once.
    pub fn bytes(self, now: Timestamp) -> Bytes {
        match self.pieces(now) {
            Pieces::Two(rows, end) => [rows, end].concat().into(),
            Pieces::Many(rendering) => {
                let mut whole = Vec::new();
                rendering.for_each(|piece| whole.extend_from_slice(&piece));
                whole.into()
            }
        }
    }

    fn end(&self, now: Timestamp) -> Bytes {
        let info = PageInfo {
            count: self.rows.hits.len(),
            total: self.rows.total,
            timestamp: now,
            resource_version: self.revision,
            warm: self.is_warm,
            continue_token: self.rows.continue_token.clone(),
        };
        let mut out = Vec::new();
        render::info(&info, &mut out);
        out.into()
    }
}

// === impl Rendering ===

impl Iterator for Rendering {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let begin = if self.next == 0 { begin(self.rows.kind) } else { b"," };
        let (start, mut bytes) = (self.next, 0);
        for (hit, shown) in self.rows.rows(start..self.rows.hits.len()) {
            if bytes >= PIECE_BYTES {
                break;
            }
            bytes += hit.room(shown);
            self.next += 1;
        }
        if self.next == start { self.end.take() } else { Some(self.rows.render(begin, start..self.next)) }
    }
}
