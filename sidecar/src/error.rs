//! Why an attempt failed, and why a call failed.
//!
//! An attempt's error says how far it came, what it shows about the endpoint and whether it is worth another try; a
//! call's error is what the agent is told. No HTTP status here: the edge chooses it.

use std::time::Duration;

use http::StatusCode;
use mesh_api::error::Fault;
use mesh_client::error::ClientError;
use mesh_mcp::error::{AnswerError, RpcError};

use crate::breaker::Evidence;
use crate::destination;
use crate::replay::BodyFault;
use crate::retry::{Denied, Reached};
use crate::wire::WireError;

/// Why one attempt at one endpoint failed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// No connection: nothing was sent.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// No connection within the connect timeout: nothing was sent.
    #[error("no connection within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    /// Calls must not go to the endpoint's address: nothing was sent.
    #[error("calls must not go there")]
    Forbidden(#[source] destination::Refusal),
    /// All connections to the endpoint are in use: nothing was sent.
    #[error("{0} connections to the provider are in use, which is the most")]
    Crowded(usize),
    /// The caller's body did not come to its end.
    #[error("the caller's body cannot be sent on")]
    Body(#[source] BodyFault),
    /// The connection broke before the request left.
    #[error("the connection closed before the call was sent")]
    Unsent(#[source] WireError),
    /// The connection broke after the request left.
    #[error("the connection broke before the answer was complete")]
    Broken(#[source] WireError),
    /// Opening the conversation failed; the call itself was not sent.
    #[error("the MCP handshake failed")]
    Handshake(#[source] Box<AttemptError>),
    /// The peer has too much to do.
    #[error("the provider is busy (429)")]
    Busy {
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The sidecar beside the peer could not pass the call on to it: the peer saw nothing of it.
    #[error("the provider's sidecar takes no calls for it ({0})")]
    Away(String),
    /// The peer is somewhere else. Following it could lead a call out of the mesh.
    #[error("the provider redirects to {0}: give that address as its endpoint, redirects are not followed")]
    Redirected(String),
    /// The peer answered with an HTTP error.
    #[error("the provider answered {status}{}", excerpt(.body))]
    Status {
        /// Its status.
        status: StatusCode,
        /// The beginning of what it said.
        body: String,
    },
    /// The answer is not what the protocol says.
    #[error("the provider broke the protocol")]
    Protocol(#[source] AnswerError),
    /// The answer is larger than we accept.
    #[error("the provider's answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The peer began to answer and then said nothing for a while.
    #[error("the provider began to answer and then was silent for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The call's time ran out during this attempt.
    #[error("no answer within the time of the call")]
    TimedOut,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The request is not one.
    #[error("invalid call")]
    Invalid(Vec<Fault>),
    /// The arguments are not a JSON object.
    #[error("the body must be a JSON object with the arguments of the call: {0}")]
    Arguments(String),
    /// The body is too large.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The caller went away or sent its body too slowly.
    #[error("the body did not arrive")]
    BodyIncomplete,
    /// Nobody offers the capability.
    #[error("no agent offers {capability} {filter}")]
    NoProvider {
        /// What was asked for.
        capability: String,
        /// Under which conditions.
        filter: String,
    },
    /// There is no such agent.
    #[error("there is no agent '{id}' {filter}")]
    NoAgent {
        /// Who was asked for.
        id: String,
        /// Where.
        filter: String,
    },
    /// The registry cannot be asked and nothing is remembered.
    #[error("the registry cannot be asked who offers {capability}, and nothing is remembered from before")]
    RegistryAway {
        /// What was asked for.
        capability: String,
        /// What happened.
        #[source]
        source: std::sync::Arc<ClientError>,
    },
    /// The registry refused the query.
    #[error("the registry refused the query: {0}")]
    QueryRefused(String),
    /// Providers are known, but none takes calls now.
    #[error("all {known} providers of {capability} are out: {reasons}")]
    AllOut {
        /// What was asked for.
        capability: String,
        /// How many are known.
        known: usize,
        /// Why each is out, in words.
        reasons: String,
        /// When the first may be tried again.
        retry_after: Duration,
    },
    /// Every attempt failed, and there is no other.
    #[error("{capability} failed at {agent}")]
    Failed {
        /// What was asked for.
        capability: String,
        /// The agent of the last attempt.
        agent: String,
        /// Why there was no other attempt.
        denied: Denied,
        /// What happened last.
        #[source]
        source: AttemptError,
    },
    /// The peer understood the call and refused it.
    #[error("{agent} refused the call: {} (JSON-RPC error {})", .error.message, .error.code)]
    Refused {
        /// Who refused.
        agent: String,
        /// What it said.
        error: RpcError,
    },
    /// The time of the call was over before there was an attempt.
    #[error("the call's time ({} ms) was over before a provider was found", .0.as_millis())]
    Deadline(Duration),
    /// The call went from sidecar to sidecar too often.
    #[error(
        "the call has passed through {0} sidecars, which is the most: do agents call each other in a circle?"
    )]
    Loop(u8),
    /// The session's provider is gone, and no other knows the session.
    #[error("the provider of this session is gone: open a new session (Mcp-Session-Id)")]
    SessionGone,
    /// Too many calls are in flight.
    #[error("{0} calls are in flight already, which is the most this sidecar takes (max_in_flight)")]
    Overloaded(usize),
}

// === impl AttemptError ===

impl AttemptError {
    /// How far the call came.
    pub fn reached(&self) -> Reached {
        match self {
            Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Forbidden(_)
            | Self::Crowded(_)
            | Self::Unsent(_)
            | Self::Away(_)
            | Self::Handshake(_) => Reached::Nobody,
            Self::Busy { .. } | Self::Redirected(_) => Reached::Refusal,
            Self::Status { status, .. } if is_passing(*status) => Reached::Peer,
            Self::Status { .. } => Reached::Answered,
            Self::Broken(_)
            | Self::Body(_)
            | Self::Protocol(_)
            | Self::TooLarge(_)
            | Self::Stalled(_)
            | Self::TimedOut => Reached::Peer,
        }
    }

    /// What it shows about the endpoint; `None` when it shows nothing. Being busy is no fault.
    pub fn evidence(&self) -> Option<Evidence> {
        match self {
            Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Unsent(_)
            | Self::Away(_)
            | Self::Broken(_)
            | Self::Stalled(_)
            | Self::TimedOut => Some(Evidence::Hard),
            Self::Handshake(cause) => cause.evidence(),
            Self::Status { status, .. } if !status.is_server_error() => None,
            Self::Status { status: StatusCode::LOOP_DETECTED, .. } => None,
            Self::Status { .. } | Self::Redirected(_) | Self::Protocol(_) => Some(Evidence::Soft),
            Self::Forbidden(_) | Self::Crowded(_) | Self::Body(_) | Self::Busy { .. } | Self::TooLarge(_) => {
                None
            }
        }
    }

    /// How long the peer asked to be left alone.
    pub fn asked_pause(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// Whether the peer has a part in it, so that others look better from now on.
    pub fn blames_peer(&self) -> bool {
        !matches!(self, Self::Body(_) | Self::Status { status: StatusCode::LOOP_DETECTED, .. })
    }

    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::ConnectTimeout(_) => "connect_timeout",
            Self::Forbidden(_) => "forbidden",
            Self::Crowded(_) => "crowded",
            Self::Body(_) => "caller_body",
            Self::Unsent(_) => "unsent",
            Self::Broken(_) => "broken",
            Self::Handshake(_) => "handshake",
            Self::Busy { .. } => "busy",
            Self::Away(_) => "away",
            Self::Redirected(_) => "redirected",
            Self::Status { .. } => "status",
            Self::Protocol(_) => "protocol",
            Self::TooLarge(_) => "too_large",
            Self::Stalled(_) => "stalled",
            Self::TimedOut => "timeout",
        }
    }
}

// === impl CallError ===

impl CallError {
    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Invalid(_) | Self::Arguments(_) | Self::BodyTooLarge(_) | Self::BodyIncomplete => "invalid",
            Self::NoProvider { .. } => "no_provider",
            Self::NoAgent { .. } => "no_agent",
            Self::RegistryAway { .. } => "registry_away",
            Self::QueryRefused(_) => "query_refused",
            Self::AllOut { .. } => "all_out",
            Self::Failed { source: AttemptError::TimedOut, .. } | Self::Deadline(_) => "deadline",
            Self::Failed { .. } => "failed",
            Self::Refused { .. } => "refused",
            Self::Loop(_) => "loop",
            Self::SessionGone => "session_gone",
            Self::Overloaded(_) => "overloaded",
        }
    }
}

/// Whether an HTTP status says that the server cannot serve now, so that another one may.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// An error and its causes in one line. The only place that prints causes: no message contains its own.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn excerpt(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}
