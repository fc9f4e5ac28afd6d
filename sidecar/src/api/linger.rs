//! What a caller goes on sending although it was refused.
//!
//! Cut off in the middle of it, many callers would never look at the answer: a connection that is closed before everything
//! was read is reset, and takes what is on its way with it.

use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::error::CallError;

/// How long is read on.
const LINGER: Duration = Duration::from_secs(2);

/// Takes a body, unless it announces to be larger than `max_body` bytes.
///
/// # Errors
/// When it does.
pub fn admit(body: Incoming, max_body: usize) -> Result<Incoming, CallError> {
    if body.size_hint().lower() > max_body as u64 {
        linger(body);
        return Err(CallError::BodyTooLarge(max_body));
    }
    Ok(body)
}

/// Reads on for a while, and forgets what comes.
pub fn linger(mut rest: Incoming) {
    let reading = async move { while let Some(Ok(_)) = rest.frame().await {} };
    tokio::spawn(tokio::time::timeout(LINGER, reading));
}
