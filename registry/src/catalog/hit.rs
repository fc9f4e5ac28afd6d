//! What a query found, and its place in the answer.

use std::cmp::Reverse;
use std::sync::Arc;

use mesh_api::agent::Agent;
use mesh_api::capability::Capability;
use mesh_api::health::Status;
use mesh_api::page::CapabilityRow;
use semver::Version;

use super::fuzzy::Score;
use super::record::Record;

/// An agent, or one of its capabilities, that a query found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The agent.
    pub record: Arc<Record>,
    /// Its status when it was found.
    pub status: Status,
    /// Which of its capabilities, if those were asked for.
    pub capability: Option<usize>,
    /// How well it fits, if the query was fuzzy.
    pub score: Option<Score>,
}

/// Answers are sorted by this: best score first, then by id, then by capability and version.
pub type Place<'a> = (Reverse<Option<Score>>, &'a str, Option<(&'a str, &'a Version)>);

impl Hit {
    /// Its place in the answer.
    pub fn place(&self) -> Place<'_> {
        let capability = self.capability().map(|capability| (capability.name.as_str(), &capability.version));
        (Reverse(self.score), &self.record.registration().id, capability)
    }

    /// The agent as it is answered.
    pub fn agent(&self) -> Agent {
        self.record.agent(self.status, self.score.map(Score::share))
    }

    /// The capability as it is answered.
    pub fn row(&self) -> Option<CapabilityRow> {
        self.record.row(self.capability?, self.status, self.score.map(Score::share))
    }

    /// The capability, if those were asked for.
    pub fn capability(&self) -> Option<&Capability> {
        self.record.registration().capabilities.get(self.capability?)
    }
}
