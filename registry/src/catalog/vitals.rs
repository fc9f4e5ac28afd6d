//! What is heard from one agent during one life. Shared by the versions of its record, so that no heartbeat is lost
//! while its registration changes; locked for one agent at a time, so that heartbeats never wait for the catalog.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use mesh_api::health::{Reported, Status};
use mesh_api::heartbeat::Heartbeat;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::health::Signs;
use crate::moment::Moment;
use crate::store::change::Beat;

/// What is heard from one agent during one life.
#[derive(Debug)]
pub struct Vitals {
    heard: Mutex<Heard>,
}

#[derive(Debug)]
struct Heard {
    last: Option<Timestamp>,
    silent_since: Instant,
    reported: Reported,
    metadata: Map<String, Value>,
    is_unflushed: bool,
    /// The status that was logged last; `None` when nobody has looked since a restart.
    noticed: Option<Status>,
}

impl Vitals {
    /// Of an agent that has registered and not been heard.
    pub fn unheard(now: Instant) -> Self {
        Self::new(None, Reported::Healthy, Some(Status::Pending), now)
    }

    /// Of an agent that was heard before a restart. Its silence counts from now: we were the ones who were away.
    pub fn restored(beat: Beat, now: Instant) -> Self {
        Self::new(Timestamp::from_millisecond(beat.at).ok(), beat.reported, None, now)
    }

    fn new(last: Option<Timestamp>, reported: Reported, noticed: Option<Status>, now: Instant) -> Self {
        let heard =
            Heard { last, silent_since: now, reported, metadata: Map::new(), is_unflushed: false, noticed };
        Self { heard: Mutex::new(heard) }
    }

    /// Takes in a heartbeat. Its metadata adds to what earlier ones said.
    pub fn beat(&self, heartbeat: Heartbeat, now: Moment) {
        let mut heard = self.heard();
        heard.last = Some(now.wall);
        heard.silent_since = now.instant;
        heard.reported = heartbeat.status;
        heard.metadata.extend(heartbeat.metadata);
        heard.is_unflushed = true;
    }

    /// What the rule of health wants to know.
    pub fn signs(&self) -> Signs {
        let heard = self.heard();
        Signs { heard: heard.last.is_some(), silent_since: heard.silent_since, reported: heard.reported }
    }

    /// When the agent was last heard.
    pub fn last_heartbeat(&self) -> Option<Timestamp> {
        self.heard().last
    }

    /// Lays what heartbeats said over what the registration said.
    pub fn overlay(&self, metadata: &mut Map<String, Value>) {
        metadata.extend(self.heard().metadata.iter().map(|(key, value)| (key.clone(), value.clone())));
    }

    /// Notes the status, and returns the one noted before if it was another.
    pub fn notice(&self, status: Status) -> Option<Status> {
        let before = self.heard().noticed.replace(status);
        before.filter(|before| *before != status)
    }

    /// What the store has not been told yet; `life` is the agent's incarnation.
    pub fn take_unflushed(&self, life: u64) -> Option<Beat> {
        let mut heard = self.heard();
        let last = heard.last.filter(|_| heard.is_unflushed)?;
        heard.is_unflushed = false;
        Some(Beat { at: last.as_millisecond(), life, reported: heard.reported })
    }

    /// The store could not be told after all.
    pub fn keep_unflushed(&self) {
        self.heard().is_unflushed = true;
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_heartbeat_is_flushed_once_unless_the_store_could_not_take_it() {
        let now = Moment::now();
        let vitals = Vitals::unheard(now.instant);
        assert_eq!(vitals.take_unflushed(7), None);
        let heartbeat = Heartbeat::from_value(&json!({"agent_id": "a", "status": "draining"})).unwrap();
        vitals.beat(heartbeat, now);
        let beat = Beat { at: now.wall.as_millisecond(), life: 7, reported: Reported::Draining };
        assert_eq!((vitals.take_unflushed(7), vitals.take_unflushed(7)), (Some(beat), None));
        vitals.keep_unflushed();
        assert_eq!(vitals.take_unflushed(7), Some(beat));
    }

    #[test]
    fn a_change_of_status_is_noticed_once() {
        let vitals = Vitals::unheard(Instant::now());
        let noticed = [Status::Pending, Status::Healthy, Status::Healthy].map(|status| vitals.notice(status));
        assert_eq!(noticed, [None, Some(Status::Pending), None]);
    }
}
