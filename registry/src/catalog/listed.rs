//! The statuses under which an agent was listed since watchers were told of it last. Pure.
//!
//! Lists show a status at once, watchers are told of it a little later. Whoever lists in between and watches from there
//! must not be left with what it saw: so an event remembers all that could be seen before it.

use mesh_api::health::Status;

/// Statuses, one of them the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// A bit for each status.
    all: u8,
    first: Status,
    last: Status,
}

impl Listed {
    /// One status, which is no news.
    pub fn only(status: Status) -> Self {
        Self { all: 1 << status as u8, first: status, last: status }
    }

    /// The agent is listed under another status. Returns whether this is the first news since watchers were told.
    pub fn add(&mut self, status: Status) -> bool {
        let is_first = !self.has_news();
        self.all |= 1 << status as u8;
        self.last = status;
        is_first
    }

    /// Whether watchers have something to be told.
    pub fn has_news(&self) -> bool {
        self.all.count_ones() > 1
    }

    /// The one that watchers have been told.
    pub fn first(&self) -> Status {
        self.first
    }

    /// The latest one.
    pub fn last(&self) -> Status {
        self.last
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Status> {
        let all = self.all;
        Status::ALL.into_iter().filter(move |status| all & (1 << *status as u8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_remembered() {
        let mut listed = Listed::only(Status::Draining);
        assert!(!listed.has_news() && listed.add(Status::Healthy) && !listed.add(Status::Draining));
        assert_eq!(
            (listed.has_news(), listed.first(), listed.last()),
            (true, Status::Draining, Status::Draining)
        );
        assert!(listed.iter().eq([Status::Healthy, Status::Draining]));
    }
}
