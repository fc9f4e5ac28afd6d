//! What a query found.

use std::sync::Arc;

use mesh_api::health::Status;

use super::fuzzy::Score;
use super::record::Record;
use super::render;
use super::vitals::Showing;

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
    /// Room for it as it is answered with this of the agent's vitals, in bytes: seldom too little, so that a page is
    /// written without being moved.
    pub fn room(&self, shown: Option<&Showing>) -> usize {
        let Record { stored, layout, tail, .. } = &*self.record;
        let said = shown.and_then(|shown| shown.said.as_ref()).map_or(0, |said| said.json.len());
        let parts = match self.capability {
            None => stored.document.len() + tail.len() + said,
            Some(index) => layout.row_bytes(index as usize),
        };
        FRAME + parts
    }

    /// Writes it as it is answered, with this of the agent's vitals, or else what shows of them now.
    pub fn render(&self, shown: Option<&Showing>, out: &mut Vec<u8>) {
        let Self { record, status, capability, score } = self;
        match (capability, shown) {
            (None, Some(shown)) => render::agent(record, shown, *status, *score, out),
            (None, None) => render::agent(record, &record.vitals.showing(), *status, *score, out),
            (Some(index), _) => render::row(record, *index as usize, *status, *score, out),
        }
    }
}
