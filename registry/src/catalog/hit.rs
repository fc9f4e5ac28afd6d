//! What a query found.

use std::sync::Arc;

use mesh_api::health::Status;

use super::fuzzy::Score;
use super::record::Record;
use super::render;

/// An agent, or one of its capabilities, that a query found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The agent.
    pub record: Arc<Record>,
    /// Its status when it was found.
    pub status: Status,
    /// Which of its capabilities, in the order of answers, if those were asked for.
    pub capability: Option<u32>,
    /// How well it fits, if the query was fuzzy.
    pub score: Option<Score>,
}

/// Room for what is laid around the parts of a document, in bytes: names of fields, a status, a time, a score.
const FRAME: usize = 256;

impl Hit {
    /// Room for it as it is answered, in bytes: seldom too little, so that a page is written without being moved.
    pub fn room(&self) -> usize {
        let Record { stored, layout, tail, .. } = &*self.record;
        let parts = match self.capability {
            None => stored.document.len() + tail.len(),
            Some(index) => layout.row_bytes(index as usize),
        };
        FRAME + parts
    }

    /// Writes it as it is answered.
    pub fn render(&self, out: &mut Vec<u8>) {
        match self.capability {
            None => render::agent(&self.record, self.status, self.score, out),
            Some(index) => render::row(&self.record, index as usize, self.status, self.score, out),
        }
    }
}
