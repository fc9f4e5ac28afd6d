//! The answer to a discovery query, as bytes: rows rendered at once when they are few, and a piece at a time when they
//! are many, so that the largest answer costs no more memory than a small one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use mesh_api::page::PageInfo;

use super::hit::Hit;
use super::page::Page;
use super::query::Kind;
use super::render;
use super::vitals::{Showing, Vitals};

/// Most rows that are rendered at once, and so can be given again: a few MiB.
const RENDERED_ROWS: usize = 4_096;
/// Rows in one piece of an answer that has more.
const PIECE_ROWS: usize = 256;
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
    /// What showed of the agents when their rows were rendered, heartbeats for one; empty for rows that show nothing
    /// of the kind.
    shown: Vec<(Arc<Vitals>, Showing)>,
    total: usize,
    continue_token: Option<String>,
    /// Differs when the content does, but for clocks and revisions.
    fingerprint: u64,
    /// The beginning of the answer up to its last row, unless there are too many.
    rendered: Option<Bytes>,
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
        let rendered = (hits.len() <= RENDERED_ROWS).then(|| rendered(begin(kind), &hits));
        Self { kind, hits, shown, total, continue_token, fingerprint, rendered }
    }

    /// These rows if all agents still show what they showed, else the same rows rendered anew.
    pub fn refreshed(self: Arc<Self>) -> Arc<Self> {
        if self.shown.iter().all(|(vitals, shown)| vitals.showing() == *shown) {
            return self;
        }
        Arc::new(Self::new(self.kind, self.hits.clone(), self.total, self.continue_token.clone()))
    }

    /// How large they are in bytes, if they have been rendered.
    pub fn rendered_bytes(&self) -> Option<usize> {
        self.rendered.as_ref().map(Bytes::len)
    }
}

fn showing(vitals: &Arc<Vitals>) -> (Arc<Vitals>, Showing) {
    (Arc::clone(vitals), vitals.showing())
}

fn begin(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Agents => b"{\"agents\":[",
        Kind::Capabilities => b"{\"capabilities\":[",
    }
}

fn rendered(begin: &[u8], hits: &[Hit]) -> Bytes {
    let mut out = Vec::with_capacity(begin.len() + hits.iter().map(Hit::room).sum::<usize>());
    out.extend_from_slice(begin);
    for (i, hit) in hits.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        hit.render(&mut out);
    }
    out.into()
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
    shown.iter().for_each(|(_, shown)| add(shown.said));
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
        match &self.rows.rendered {
            Some(rows) => Pieces::Two(rows.clone(), end),
            None => Pieces::Many(Rendering { rows: self.rows, next: 0, end: Some(end) }),
        }
    }

    /// The whole body at once.
    pub fn bytes(self, now: Timestamp) -> Bytes {
        match self.pieces(now) {
            Pieces::Two(rows, end) => [rows, end].concat().into(),
            Pieces::Many(rendering) => rendering.flatten().collect::<Vec<u8>>().into(),
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
        let Rows { kind, hits, .. } = &*self.rows;
        if self.next >= hits.len() {
            return self.end.take();
        }
        let piece = self.next..hits.len().min(self.next + PIECE_ROWS);
        let begin = if piece.start == 0 { begin(*kind) } else { b"," };
        self.next = piece.end;
        hits.get(piece).map(|piece| rendered(begin, piece))
    }
}
