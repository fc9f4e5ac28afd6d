//! A watch of a registry, of which one thing matters here: that something has changed.
//!
//! What changed is asked for anew, with the tag of the answer that is held: so there is one way only in which answers come
//! about, and a watch that has missed something does no harm.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::error::ClientError;
use crate::exchange::Registry;
use crate::transport::Pieces;

/// Silence after which a watch is taken for dead: a registry says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// How an event begins that changes nothing: it says up to where nothing was missed.
const BOOKMARK: &[u8] = b"BOOKMARK";
/// Longest line of which the beginning is kept.
const KEPT: usize = 64;

/// The changes of what a query finds.
pub struct Changes {
    pieces: Pieces,
    registry: Registry,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Whether an event of the piece at hand is a change.
    has_change: bool,
    /// Whether an event has begun that is a change.
    is_change: bool,
}

impl Changes {
    pub(crate) fn of(pieces: Pieces, registry: &Registry) -> Self {
        Self { pieces, registry: registry.clone(), line: Vec::new(), has_change: false, is_change: false }
    }

    /// Waits until something has changed. Changes that came together count as one.
    ///
    /// # Errors
    /// When the watch has ended or is silent; what happened meanwhile is not known.
    pub async fn next(&mut self) -> Result<(), ClientError> {
        loop {
            let piece = tokio::time::timeout(SILENCE, self.pieces.next()).await;
            let piece = piece.map_err(|_| ClientError::Silent(SILENCE))?;
            let piece = piece.unwrap_or_else(|| Err("the watch has ended".into()));
            self.take(&piece.map_err(|source| self.registry.unreachable(source))?);
            if std::mem::take(&mut self.has_change) {
                return Ok(());
            }
        }
    }

    fn take(&mut self, piece: &Bytes) {
        for &byte in piece {
            if byte != b'\n' {
                if self.line.len() < KEPT {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                self.has_change |= std::mem::take(&mut self.is_change);
            } else if let Some(name) = line.strip_prefix(b"event:") {
                self.is_change = name.trim_ascii() != BOOKMARK;
            }
        }
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("registry", &self.registry).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn changes(pieces: &[&'static str]) -> usize {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
        let registry = Registry::at("http://registry:8000").unwrap();
        let mut changes = Changes::of(stream::iter(pieces).boxed(), &registry);
        let mut seen = 0;
        while changes.next().await.is_ok() {
            seen += 1;
        }
        seen
    }

    #[tokio::test]
    async fn bookmarks_and_comments_are_no_changes_and_pieces_make_no_difference() {
        let bookmark = "event: BOOKMARK\nid: 7\ndata: {\"type\":\"BOOKMARK\"}\n\n";
        assert_eq!(changes(&[bookmark, ": keep-alive\n\n", "garbage", "\n\n"]).await, 0);
        let change = "event: MODIFIED\nid: 8\ndata: {}\n\n";
        assert_eq!(changes(&[bookmark, change, bookmark, change]).await, 2);
        assert_eq!(changes(&["event: ADD", "ED\ndata: {", "}\n", "\n", "event: DELETED\n"]).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_says_nothing_is_taken_for_dead() {
        let registry = Registry::at("http://registry:8000").unwrap();
        let mut changes = Changes::of(stream::pending().boxed(), &registry);
        assert!(matches!(changes.next().await, Err(ClientError::Silent(_))));
    }
}
