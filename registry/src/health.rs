//! The rule by which silence becomes a status. Pure: what was heard and the time go in, a status comes out.
//!
//! The catalog's records apply it whenever somebody looks; nothing ever stores a status.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_api::agent::{HEALTH_INTERVAL_RANGE, MAX_THRESHOLD, Registration};
use mesh_api::document::{Fields, Findings, kind, number};
use mesh_api::health::{Reported, Status};
use serde_json::Value;
use tokio::time::Instant;

/// Intervals of silence until an agent without thresholds counts as degraded: one heartbeat may get lost.
const TIMEOUT_INTERVALS: f64 = 2.0;
/// Intervals of silence until an agent without thresholds counts as expired.
const EVICTION_INTERVALS: f64 = 4.0;
/// Thresholds of the agent types that every mesh has, in seconds: name, timeout, eviction.
const SHIPPED: [(&str, f64, f64); 3] =
    [("file-agent", 90.0, 180.0), ("worker", 45.0, 90.0), ("critical", 30.0, 60.0)];

/// How long an agent may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Silence until `degraded`.
    pub timeout: Duration,
    /// Silence until `expired`.
    pub eviction: Duration,
}

/// Thresholds, in seconds, of agents that set none themselves, by their type.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentTypes {
    by_type: BTreeMap<String, (f64, f64)>,
}

/// What has been heard from an agent.
#[derive(Debug, Clone, Copy)]
pub struct Signs {
    /// Whether it ever sent a heartbeat.
    pub heard: bool,
    /// Since when it has been silent: its last heartbeat, its registration or our own start.
    pub silent_since: Instant,
    /// What it last said about itself.
    pub reported: Reported,
}

/// From where in time statuses are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Vantage {
    /// The present.
    pub now: Instant,
    /// Agents whose eviction fell due later than this have not expired yet; see [`crate::preservation`].
    pub horizon: Instant,
}

// === impl Signs ===

impl Signs {
    /// The status of an agent of which this was heard.
    ///
    /// What an agent said about leaving outlives its silence: one that drains or went away must not be called
    /// merely degraded, because callers would try it.
    pub fn status(&self, thresholds: &Thresholds, from: Vantage) -> Status {
        let expired = self.expires_at(thresholds) <= from.horizon;
        let silent = self.are_late(thresholds, from.now);
        match self.reported {
            Reported::Offline => Status::Offline,
            _ if expired => Status::Expired,
            Reported::Draining => Status::Draining,
            _ if silent => Status::Degraded,
            _ if !self.heard => Status::Pending,
            Reported::Degraded => Status::Degraded,
            Reported::Healthy => Status::Healthy,
        }
    }

    /// Whether the agent is silent for longer than it may be without being called degraded.
    pub fn are_late(&self, thresholds: &Thresholds, now: Instant) -> bool {
        now.saturating_duration_since(self.silent_since) > thresholds.timeout
    }

    /// When the status of a living agent may change next if it stays silent.
    pub fn next_change(&self, thresholds: &Thresholds, now: Instant) -> Instant {
        let (silent_at, expires_at) = (self.silent_since + thresholds.timeout, self.expires_at(thresholds));
        if now <= silent_at { silent_at.min(expires_at) } else { expires_at }
    }

    /// When the agent's eviction falls due if it stays silent.
    pub fn expires_at(&self, thresholds: &Thresholds) -> Instant {
        self.silent_since + thresholds.eviction
    }
}

// === impl Thresholds ===

impl Thresholds {
    /// How often the registry wants to hear an agent that offers to be heard every `interval` seconds.
    ///
    /// An agent that kept an interval as long as its timeout would flap, so it is asked for two in that time.
    pub fn cadence(&self, interval: f64) -> f64 {
        let timeout = self.timeout.as_secs_f64();
        if interval < timeout { interval } else { timeout / 2.0 }
    }
}

// === impl AgentTypes ===

impl Default for AgentTypes {
    fn default() -> Self {
        let by_type =
            SHIPPED.into_iter().map(|(name, timeout, eviction)| (name.to_owned(), (timeout, eviction)));
        Self { by_type: by_type.collect() }
    }
}

impl AgentTypes {
    /// Reads `{type: {timeout_threshold, eviction_threshold}}`, in seconds, over the shipped types.
    pub fn read(value: &Value, at: &str, findings: &mut Findings) -> Option<Self> {
        let Value::Object(object) = value else {
            findings.fault(at, format!("must be an object of agent types, got {}", kind(value)));
            return None;
        };
        let mut this = Self::default();
        for (name, value) in object {
            let mut fields = Fields::open(value, &format!("{at}.{name}"), findings)?;
            let seconds = || number(HEALTH_INTERVAL_RANGE.0, MAX_THRESHOLD, "seconds");
            let timeout = fields.required("timeout_threshold", seconds());
            let eviction = fields.required("eviction_threshold", seconds());
            if timeout > eviction && eviction.is_some() {
                fields.fault("eviction_threshold", "must not be below timeout_threshold");
            }
            fields.close();
            this.by_type.insert(name.clone(), (timeout?, eviction?));
        }
        Some(this)
    }

    /// The thresholds of an agent: its own, else those of its type, else multiples of its interval.
    ///
    /// A threshold of its own wins over a default that contradicts it.
    pub fn thresholds(&self, agent: &Registration) -> Thresholds {
        let interval = agent.health_interval;
        let of_type = self.by_type.get(&agent.agent_type).copied();
        let (timeout, eviction) =
            of_type.unwrap_or((interval * TIMEOUT_INTERVALS, interval * EVICTION_INTERVALS));
        let (timeout, eviction) = match (agent.timeout_threshold, agent.eviction_threshold) {
            (None, None) => (timeout, eviction),
            (Some(timeout), None) => (timeout, eviction.max(timeout)),
            (None, Some(eviction)) => (timeout.min(eviction), eviction),
            (Some(timeout), Some(eviction)) => (timeout, eviction),
        };
        Thresholds { timeout: Duration::from_secs_f64(timeout), eviction: Duration::from_secs_f64(eviction) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const THRESHOLDS: Thresholds =
        Thresholds { timeout: Duration::from_secs(60), eviction: Duration::from_secs(120) };

    fn status(heard: bool, reported: Reported, silence: u32) -> Status {
        let silent_since = Instant::now();
        let now = silent_since + SECOND * silence;
        Signs { heard, silent_since, reported }.status(&THRESHOLDS, Vantage { now, horizon: now })
    }

    fn registration(extra: Value) -> Registration {
        let mut document = json!({"id": "a", "endpoint": "http://h:1/"});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Registration::from_value(&document).unwrap().0
    }

    fn thresholds(extra: Value) -> (u64, u64) {
        let thresholds = AgentTypes::default().thresholds(&registration(extra));
        (thresholds.timeout.as_secs(), thresholds.eviction.as_secs())
    }

    #[test]
    fn silence_makes_an_agent_degraded_and_then_expired() {
        let at = |silence| status(true, Reported::Healthy, silence);
        assert_eq!(
            [at(0), at(60), at(61), at(119), at(120)],
            [Status::Healthy, Status::Healthy, Status::Degraded, Status::Degraded, Status::Expired]
        );
    }

    #[test]
    fn an_agent_that_was_never_heard_is_pending_and_ages_from_its_registration() {
        let at = |silence| status(false, Reported::Healthy, silence);
        assert_eq!([at(60), at(61), at(121)], [Status::Pending, Status::Degraded, Status::Expired]);
    }

    #[test]
    fn what_an_agent_says_about_itself_is_honoured() {
        assert_eq!(status(true, Reported::Degraded, 1), Status::Degraded);
        assert_eq!(
            [1, 61, 121].map(|silence| status(true, Reported::Draining, silence)),
            [Status::Draining, Status::Draining, Status::Expired]
        );
        assert_eq!([1, 121].map(|silence| status(true, Reported::Offline, silence)), [Status::Offline; 2]);
    }

    #[test]
    fn behind_the_horizon_nothing_expires() {
        let silent_since = Instant::now();
        let signs = Signs { heard: true, silent_since, reported: Reported::Healthy };
        let from = Vantage { now: silent_since + SECOND * 500, horizon: silent_since + SECOND * 119 };
        assert_eq!(signs.status(&THRESHOLDS, from), Status::Degraded);
    }

    #[test]
    fn thresholds_come_from_the_agent_then_its_type_then_its_interval() {
        assert_eq!(thresholds(json!({})), (60, 120));
        assert_eq!(thresholds(json!({"health_interval": 5})), (10, 20));
        assert_eq!(thresholds(json!({"agent_type": "worker", "health_interval": 5})), (45, 90));
        assert_eq!(thresholds(json!({"agent_type": "worker", "timeout_threshold": 7})), (7, 90));
        assert_eq!(thresholds(json!({"timeout_threshold": 500})), (500, 500));
        assert_eq!(thresholds(json!({"eviction_threshold": 10})), (10, 10));
    }

    #[test]
    fn configured_types_add_to_the_shipped_ones() {
        let mut findings = Findings::default();
        let configured = json!({"batch": {"timeout_threshold": 300, "eviction_threshold": 900}});
        let types = AgentTypes::read(&configured, "agent_types", &mut findings).unwrap();
        let of =
            |agent_type: &str| types.thresholds(&registration(json!({"agent_type": agent_type}))).timeout;
        assert_eq!((of("batch"), of("critical")), (SECOND * 300, SECOND * 30));
    }

    #[test]
    fn a_type_with_contradicting_thresholds_is_a_fault() {
        let mut findings = Findings::default();
        let configured = json!({"x": {"timeout_threshold": 9, "eviction_threshold": 3}, "y": 1});
        AgentTypes::read(&configured, "agent_types", &mut findings);
        let faults = findings.faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>();
        assert_eq!(faults, ["agent_types.x.eviction_threshold", "agent_types.y"]);
    }

    #[test]
    fn an_interval_as_long_as_the_timeout_is_shortened() {
        assert!((THRESHOLDS.cadence(30.0) - 30.0).abs() < f64::EPSILON);
        assert!((THRESHOLDS.cadence(60.0) - 30.0).abs() < f64::EPSILON);
    }
}
