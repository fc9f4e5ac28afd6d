//! Why a request to the registry failed.

use std::time::Duration;

use http::StatusCode;
use mesh_api::error::{Code, ErrorBody};

/// What a transport says of its failures.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request to the registry failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer came: not connected, cut, or out of time. The request may have been carried out.
    #[error("the registry at {registry} cannot be reached")]
    Unreachable {
        /// The registry that was tried last.
        registry: String,
        /// What happened.
        #[source]
        source: BoxError,
    },
    /// No answer came within the time that the caller was willing to wait.
    #[error("the registry did not answer within {} ms", .0.as_millis())]
    Silent(Duration),
    /// The registry answered with an error.
    #[error("the registry at {registry} answered {status}: {}", body.error)]
    Refused {
        /// The registry that answered.
        registry: String,
        /// Its status.
        status: StatusCode,
        /// What it said.
        body: Box<ErrorBody>,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer is not what this version understands; perhaps the address is not a registry's.
    #[error("the answer of {registry} ({status}) is not a registry's: is the address right?")]
    Garbled {
        /// Who answered.
        registry: String,
        /// The status of the answer.
        status: StatusCode,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The HTTP client cannot be set up.
    #[error("the registry client cannot be set up")]
    Setup(#[source] BoxError),
    /// An address is not one of a registry.
    #[error("{0:?} is not the address of a registry: write http://host:8000")]
    Address(String),
}

impl ClientError {
    /// Whether another registry, or the same one later, may well carry out the same request.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent(_) | Self::Garbled { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Setup(_) | Self::Address(_) => false,
        }
    }

    /// The code of the registry's own error, if it answered with one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { body, .. } => Some(body.code),
            _ => None,
        }
    }

    /// When the registry wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
