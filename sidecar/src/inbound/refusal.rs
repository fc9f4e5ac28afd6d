//! Why a peer's request got no answer of our agent, and what the peer is told: the only place of this port that knows a
//! status code.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode};
use mesh_api::error::{Code, ErrorBody};

use crate::admission::Turned;
use crate::api::body::ReplyBody;
use crate::api::reply;
use crate::error::{AttemptError, CallError, chain};
use crate::outbound::Failure;
use crate::passport;
use crate::replay::BodyFault;
use crate::retry::Reached;

/// When whoever found no place, or no agent, may come again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a request got no answer of our agent.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A browser sends it.
    #[error("this port serves peers of the agent behind it: requests of web pages are refused")]
    WebPage,
    /// It asks for a tunnel.
    #[error("CONNECT makes a tunnel, and there are none through a sidecar")]
    Tunnel,
    /// Something is wrong with the request.
    #[error(transparent)]
    Faulty(#[from] CallError),
    /// It was not let in.
    #[error(transparent)]
    Turned(#[from] Turned),
    /// Our agent cannot be reached.
    #[error("our agent at {agent} cannot be reached: see whether it runs and listens there")]
    Away {
        /// Where it should be.
        agent: String,
        /// What happened.
        #[source]
        source: AttemptError,
    },
    /// Our agent took too long.
    #[error("our agent did not begin to answer within {} ms, which was the time of the call", .0.as_millis())]
    Late(Duration),
    /// Our agent broke off.
    #[error("our agent at {agent} broke off before its answer began")]
    Broken {
        /// Where it is.
        agent: String,
        /// What happened.
        #[source]
        source: AttemptError,
    },
}

// === impl Refusal ===

impl Refusal {
    /// What became of a request that had `time`, at our agent in this place.
    pub fn of(fault: AttemptError, time: Duration, agent: &str) -> Self {
        let agent = || agent.to_owned();
        match fault {
            AttemptError::Body(BodyFault::TooLarge(limit)) => Self::Faulty(CallError::BodyTooLarge(limit)),
            AttemptError::Body(_) => Self::Faulty(CallError::BodyIncomplete),
            AttemptError::TimedOut => Self::Late(time),
            source if source.reached() == Reached::Nobody => Self::Away { agent: agent(), source },
            source => Self::Broken { agent: agent(), source },
        }
    }

    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::WebPage => "web_page",
            Self::Tunnel => "invalid",
            Self::Faulty(fault) => fault.label(),
            Self::Turned(Turned::Full(_)) => "full",
            Self::Turned(Turned::Leaving) => "leaving",
            Self::Away { .. } => "away",
            Self::Late(_) => "deadline",
            Self::Broken { .. } => "broken",
        }
    }

    /// The answer. What our agent has not seen, and would take at another time, is marked: a peer's sidecar goes elsewhere.
    pub fn into_response(self) -> Response<ReplyBody> {
        let body = |code| ErrorBody::new(code, chain(&self));
        let (status, body) = match self {
            Self::Faulty(error) => return reply::failure(Failure { error, attempts: Vec::new() }),
            Self::WebPage => (StatusCode::FORBIDDEN, body(Code::Forbidden)),
            Self::Tunnel => (StatusCode::METHOD_NOT_ALLOWED, body(Code::MethodNotAllowed)),
            Self::Turned(Turned::Full(_)) => (StatusCode::TOO_MANY_REQUESTS, body(Code::Overloaded)),
            Self::Turned(Turned::Leaving) | Self::Away { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, body(Code::Unavailable))
            }
            Self::Late(_) => (StatusCode::GATEWAY_TIMEOUT, body(Code::DeadlineExceeded)),
            Self::Broken { .. } => (StatusCode::BAD_GATEWAY, body(Code::UpstreamFailed)),
        };
        let is_unseen = matches!(self, Self::Turned(_) | Self::Away { .. });
        let mut response = reply::refusal(status, body, is_unseen.then_some(PAUSE));
        if is_unseen {
            let reason = HeaderValue::from_static(self.label());
            response.headers_mut().insert(passport::REFUSED.clone(), reason);
        }
        response
    }
}
