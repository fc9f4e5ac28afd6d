//! The headers with which a call says how it wants to be treated, and those with which it goes on.
//!
//! What a caller says is read here once, and everything of ours is written anew for the peer: nobody can pass on
//! `X-Mesh-` headers of his own. Traces are passed on as they are and not begun: a sidecar records no spans, and a
//! parent that it made up would decide for everybody behind it whether to record theirs.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_api::error::Fault;
use mesh_mcp::version::CURRENT;

use crate::error::CallError;
use crate::wire::RequestHead;

/// Time for the call, in milliseconds. Each hop passes on what is left of it.
static TIMEOUT_MS: HeaderName = HeaderName::from_static("x-mesh-timeout-ms");
/// Calls with the same key go to the same provider while it is well.
static AFFINITY: HeaderName = HeaderName::from_static("x-mesh-affinity");
/// Sidecars that the call passed through.
static HOPS: HeaderName = HeaderName::from_static("x-mesh-hops");
/// Number of the attempt.
static ATTEMPT: HeaderName = HeaderName::from_static("x-mesh-attempt");
/// With it the sidecar beside an agent says that nothing of a request reached the agent, and why.
pub static REFUSED: HeaderName = HeaderName::from_static("x-mesh-refused");
/// With it a sidecar says that it asks for itself, in this revision of MCP: the sidecar beside an agent of another revision
/// translates.
static TRANSLATE: HeaderName = HeaderName::from_static("x-mesh-translate");
/// Id of the calling agent.
static CALLER: HeaderName = HeaderName::from_static("x-mesh-caller");
/// With it the caller vouches that executing the call twice is as good as once.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// W3C Trace Context and Baggage.
static TRACE: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];
/// What all headers of ours begin with.
const OURS: &str = "x-mesh-";
/// Longest time that a caller may ask for.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Most sidecars that a call may pass through.
const MAX_HOPS: u8 = 8;
/// Longest affinity key, in bytes.
const MAX_AFFINITY: usize = 256;

/// How a call wants to be treated.
#[derive(Debug, Clone, Default)]
pub struct Passport {
    /// Time for it; none when the caller does not say.
    pub timeout: Option<Duration>,
    /// Calls with the same key go to the same provider.
    pub affinity: Option<String>,
    /// Who calls.
    pub caller: Option<HeaderValue>,
    idempotency_key: Option<HeaderValue>,
    hops: u8,
    trace: [Option<HeaderValue>; 3],
}

// === impl Passport ===

impl Passport {
    /// Reads the headers of a call of the agent `caller`.
    ///
    /// # Errors
    /// Every header that cannot be read, and a call that has passed through too many sidecars.
    pub fn read(headers: &HeaderMap, caller: Option<&HeaderValue>) -> Result<Self, CallError> {
        let (mut faults, mut passport) = (Vec::new(), Self { caller: caller.cloned(), ..Self::default() });
        // One pass: a call has few headers, and hardly any of these.
        for (name, value) in headers {
            passport.take(name, value, &mut faults);
        }
        if !faults.is_empty() {
            return Err(CallError::Invalid(faults));
        }
        if passport.hops >= MAX_HOPS {
            return Err(CallError::Loop(passport.hops));
        }
        Ok(passport)
    }

    /// Reads one header. Of several alike the first counts, and the most hops.
    fn take(&mut self, name: &HeaderName, value: &HeaderValue, faults: &mut Vec<Fault>) {
        if *name == TIMEOUT_MS {
            let most = MAX_TIMEOUT.as_millis() as u64;
            let timeout = number(name, value, 1..=most, " milliseconds", faults);
            self.timeout = self.timeout.or(timeout.map(Duration::from_millis));
        } else if *name == HOPS {
            let hops = number(name, value, 0..=u64::from(u8::MAX), "", faults).unwrap_or_default();
            self.hops = self.hops.max(hops as u8);
        } else if *name == AFFINITY {
            let affinity = read_affinity(value, faults);
            self.affinity = self.affinity.take().or(affinity);
        } else if *name == IDEMPOTENCY_KEY {
            self.idempotency_key.get_or_insert_with(|| value.clone());
        } else if let Some(i) = TRACE.iter().position(|trace| trace == name) {
            self.trace[i].get_or_insert_with(|| value.clone());
        }
    }

    /// Gives a call of which the caller says nothing so much time, within what anybody may ask for.
    pub fn allow(&mut self, time: Duration) {
        self.timeout.get_or_insert(time.min(MAX_TIMEOUT));
    }

    /// Whether the caller vouches that executing the call twice is as good as once.
    pub fn vouches(&self) -> bool {
        self.idempotency_key.is_some()
    }

    /// The id of the trace that the call belongs to: the second field of `traceparent`.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace[0].as_ref()?.to_str().ok()?.split('-').nth(1)
    }

    /// Writes what a peer is told: `left` is the time for the call.
    pub fn stamp(&self, head: &mut RequestHead, attempt: u32, left: Duration) {
        stamp_time(head, left);
        head.add_number(&HOPS, u64::from(self.hops) + 1);
        head.add_number(&ATTEMPT, u64::from(attempt));
        let traces = TRACE.iter().zip(&self.trace).map(|(name, value)| (name, value.as_ref()));
        let known = [(&CALLER, self.caller.as_ref()), (&IDEMPOTENCY_KEY, self.idempotency_key.as_ref())];
        for (name, value) in known.into_iter().chain(traces) {
            if let Some(value) = value {
                head.add(name, value);
            }
        }
    }
}

/// Says that whoever stands before a server of another revision of MCP is to translate.
pub fn ask_for_translation(head: &mut RequestHead) {
    head.add(&TRANSLATE, &HeaderValue::from_static(CURRENT));
}

/// Whether a peer's sidecar wants to be translated from the current revision of MCP.
pub fn wants_translation(headers: &HeaderMap) -> bool {
    headers.get(&TRANSLATE).is_some_and(|revision| revision == CURRENT)
}

/// Writes the time that is left for a call.
pub fn stamp_time(head: &mut RequestHead, left: Duration) {
    let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    head.add_number(&TIMEOUT_MS, left.max(1));
}

/// A number that is hardly ever more than a few, as a header.
pub fn counted(number: u32) -> HeaderValue {
    const FEW: [&str; 5] = ["0", "1", "2", "3", "4"];
    FEW.get(number as usize).map_or_else(|| HeaderValue::from(number), |few| HeaderValue::from_static(few))
}

/// Whether a header is passed on with the passport.
pub fn is_carried(name: &HeaderName) -> bool {
    *name == IDEMPOTENCY_KEY || TRACE.contains(name)
}

/// Whether a header of ours is what a peer's sidecar tells our agent. The time is told as well, and written anew.
pub fn is_for_agent(name: &HeaderName) -> bool {
    [&HOPS, &ATTEMPT, &CALLER].contains(&name)
}

/// Who calls, as a peer's sidecar says.
pub fn caller(headers: &HeaderMap) -> &str {
    headers.get(&CALLER).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a header is one of ours, which nobody passes on.
pub fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with(OURS)
}

fn number(
    name: &HeaderName,
    value: &HeaderValue,
    range: std::ops::RangeInclusive<u64>,
    unit: &str,
    faults: &mut Vec<Fault>,
) -> Option<u64> {
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let message = format!("must be a whole number from {} to {}{}", range.start(), range.end(), unit);
        faults.push(Fault::new(name.as_str(), message));
    }
    number
}

fn read_affinity(value: &HeaderValue, faults: &mut Vec<Fault>) -> Option<String> {
    match value.to_str() {
        Ok(key) if (1..=MAX_AFFINITY).contains(&key.len()) => Some(key.to_owned()),
        _ => {
            let message = format!("must be 1 to {MAX_AFFINITY} visible ASCII characters");
            faults.push(Fault::new(AFFINITY.as_str(), message));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Uri};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Extent;

    fn read(headers: &[(&'static str, &str)]) -> Result<Passport, CallError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        Passport::read(&headers.collect(), None)
    }

    fn stamped(passport: &Passport, left: Duration) -> HeaderMap {
        let mut head = RequestHead::new(Method::POST, &Uri::from_static("/"));
        passport.stamp(&mut head, 1, left);
        let (_, text) = head.end(Extent::Nothing);
        let lines = std::str::from_utf8(&text).unwrap().lines().filter_map(|line| line.split_once(": "));
        let ours = lines.filter(|(name, _)| *name != "content-length");
        ours.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn every_header_that_cannot_be_read_is_named() {
        for bad in ["0", "-1", "soon", "99999999999"] {
            assert!(read(&[("x-mesh-timeout-ms", bad)]).is_err(), "{bad}");
        }
        let Err(CallError::Invalid(faults)) =
            read(&[("x-mesh-timeout-ms", "x"), ("x-mesh-hops", "y"), ("x-mesh-affinity", "")])
        else {
            panic!("not a list of faults")
        };
        assert_eq!(faults.len(), 3);
        assert_eq!(read(&[("x-mesh-timeout-ms", "250")]).unwrap().timeout, Some(Duration::from_millis(250)));
    }

    #[test]
    fn traces_and_keys_are_passed_on_and_nothing_is_made_up() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let passport = read(&[("traceparent", trace), ("baggage", "a=b"), ("idempotency-key", "k")]).unwrap();
        let headers = stamped(&passport, Duration::from_secs(1));
        assert!(headers["traceparent"] == trace && headers["baggage"] == "a=b");
        assert_eq!(passport.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(passport.vouches() && headers.contains_key("idempotency-key"));
        let bare = stamped(&read(&[]).unwrap(), Duration::from_secs(1));
        assert!(bare.keys().all(is_ours), "{bare:?}");
    }

    proptest! {
        #[test]
        fn a_circle_ends_and_the_time_shrinks_on_every_hop(first in 1u64..3_600_000, spent in prop::collection::vec(0u64..600_000, 20)) {
            let mut passport = read(&[("x-mesh-timeout-ms", &first.to_string())]).unwrap();
            let mut hops = 1;
            for spent in spent {
                let time = passport.timeout.unwrap();
                let headers = stamped(&passport, time.saturating_sub(Duration::from_millis(spent)));
                match Passport::read(&headers, None) {
                    Ok(next) => {
                        prop_assert!(next.timeout.unwrap() <= time);
                        passport = next;
                    }
                    Err(fault) => {
                        prop_assert!(matches!(fault, CallError::Loop(MAX_HOPS)));
                        break;
                    }
                }
                hops += 1;
            }
            prop_assert_eq!(hops, MAX_HOPS);
        }
    }
}
