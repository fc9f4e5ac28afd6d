//! The access log: one line for a call, if somebody wants it. A line costs a call a fifth of its CPU time, so by default
//! only calls that failed or needed a second attempt have one.

use std::time::Duration;

use serde::Serialize;

use crate::metrics::{ANSWERED, SUCCESS};
use crate::passport::Passport;

/// Which calls have a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that failed or needed more than one attempt.
    #[default]
    Trouble,
    /// All.
    All,
}

/// What became of a call.
#[derive(Debug, Clone, Copy)]
pub struct Access<'c> {
    /// The outcome, as the metrics call it.
    pub outcome: &'static str,
    /// Who served it.
    pub agent_id: &'c str,
    /// How many attempts it took.
    pub attempts: u32,
}

// === impl AccessLog ===

impl AccessLog {
    /// Writes the line of a call, if it has one.
    pub fn write(self, capability: &str, passport: &Passport, access: Access<'_>, took: Duration) {
        if !self.wants(access) {
            return;
        }
        let duration_ms = took.as_secs_f64() * 1_000.0;
        tracing::info!(
            target: "mesh_sidecar::access",
            capability,
            outcome = access.outcome,
            agent.id = access.agent_id,
            attempts = access.attempts,
            duration_ms,
            trace.id = passport.trace_id().unwrap_or_default(),
            "call"
        );
    }

    /// Writes the line of a peer's request for our agent, if it has one.
    pub fn write_inbound(self, caller: &str, passport: &Passport, outcome: &'static str, took: Duration) {
        if self == Self::Off || (self == Self::Trouble && outcome == ANSWERED) {
            return;
        }
        tracing::info!(
            target: "mesh_sidecar::access",
            caller,
            outcome,
            duration_ms = took.as_secs_f64() * 1_000.0,
            trace.id = passport.trace_id().unwrap_or_default(),
            "inbound call"
        );
    }

    fn wants(self, access: Access<'_>) -> bool {
        match self {
            Self::Off => false,
            Self::Trouble => access.outcome != SUCCESS || access.attempts > 1,
            Self::All => true,
        }
    }
}

impl std::str::FromStr for AccessLog {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "off" => Ok(Self::Off),
            "trouble" => Ok(Self::Trouble),
            "all" => Ok(Self::All),
            _ => Err("must be off, trouble or all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_a_failure_or_a_second_attempt() {
        let call = |outcome, attempts| Access { outcome, agent_id: "a", attempts };
        for (log, wanted) in [
            (AccessLog::Off, [false; 3]),
            (AccessLog::Trouble, [false, true, true]),
            (AccessLog::All, [true; 3]),
        ] {
            let calls = [call(SUCCESS, 1), call(SUCCESS, 2), call("failed", 1)];
            assert_eq!(calls.map(|call| log.wants(call)), wanted);
        }
    }
}
