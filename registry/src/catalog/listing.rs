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

/// Most rows that are rendered in one piece.
const PIECE_ROWS: usize = 256;
/// Room for a row, in bytes, to begin with.
const ROW_BYTES: usize = 1_024;

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
    content: Content,
    count: usize,
    total: usize,
    continue_token: Option<String>,
    /// Differs when the content does, but for clocks and revisions.
    fingerprint: u64,
}

#[derive(Debug)]
enum Content {
    Rendered(Bytes),
    Hits(Vec<Hit>),
}

/// The pieces of an answer's body, in their order.
#[derive(Debug)]
pub struct Pieces {
    listing: Listing,
    now: Timestamp,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Rows(usize),
    End,
}

// === impl Rows ===

impl Rows {
    /// The rows of a page.
    pub(super) fn of(page: Page, kind: Kind) -> Self {
        let Page { hits, total, continue_token } = page;
        let (count, total) = (hits.len(), usize::try_from(total).unwrap_or(usize::MAX));
        let fingerprint = fingerprint(&hits, total, continue_token.as_deref());
        let content = match hits.len() {
            ..=PIECE_ROWS => Content::Rendered(rendered(&hits)),
            _ => Content::Hits(hits),
        };
        Self { kind, content, count, total, continue_token, fingerprint }
    }

    /// The bytes of the rows, if they have been rendered at once.
    pub fn rendered_bytes(&self) -> Option<usize> {
        match &self.content {
            Content::Rendered(bytes) => Some(bytes.len()),
            Content::Hits(_) => None,
        }
    }
}

fn rendered(hits: &[Hit]) -> Bytes {
    let mut out = Vec::with_capacity(hits.len() * ROW_BYTES);
    for (i, hit) in hits.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        hit.render(&mut out);
    }
    out.into()
}

fn fingerprint(hits: &[Hit], total: usize, continue_token: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (total, continue_token).hash(&mut hasher);
    for Hit { record, status, capability, score } in hits {
        (record.fingerprint, status, capability, score.map(|score| score.parts())).hash(&mut hasher);
        if capability.is_none() {
            record.vitals.said().map(|said| said.fingerprint).hash(&mut hasher);
        }
    }
    hasher.finish()
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
        Pieces { listing: self, now, next: Next::Rows(0) }
    }

    /// The whole body at once.
    pub fn bytes(self, now: Timestamp) -> Bytes {
        self.pieces(now).flatten().collect::<Vec<u8>>().into()
    }

    fn begin(&self) -> &'static [u8] {
        match self.rows.kind {
            Kind::Agents => b"{\"agents\":[",
            Kind::Capabilities => b"{\"capabilities\":[",
        }
    }

    fn end(&self, now: Timestamp, out: &mut Vec<u8>) {
        let info = PageInfo {
            count: self.rows.count,
            total: self.rows.total,
            timestamp: now,
            resource_version: self.revision,
            warm: self.is_warm,
            continue_token: self.rows.continue_token.clone(),
        };
        render::info(&info, out);
    }
}

// === impl Pieces ===

impl Pieces {
    /// The whole body, if it has one piece.
    pub fn single(&mut self) -> Option<Bytes> {
        match self.listing.rows.content {
            Content::Rendered(_) => self.next(),
            Content::Hits(_) => None,
        }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let Next::Rows(from) = self.next else { return None };
        let rows = Arc::clone(&self.listing.rows);
        let mut out = Vec::new();
        if from == 0 {
            out.reserve(rows.rendered_bytes().unwrap_or(PIECE_ROWS * ROW_BYTES) + ROW_BYTES);
            out.extend_from_slice(self.listing.begin());
        }
        let is_last = match &rows.content {
            Content::Rendered(bytes) => {
                out.extend_from_slice(bytes);
                true
            }
            Content::Hits(hits) => {
                let piece = hits.get(from..hits.len().min(from + PIECE_ROWS)).unwrap_or_default();
                if from > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(&rendered(piece));
                from + piece.len() >= hits.len()
            }
        };
        self.next = if is_last { Next::End } else { Next::Rows(from + PIECE_ROWS) };
        if is_last {
            self.listing.end(self.now, &mut out);
        }
        Some(out.into())
    }
}
