//! What an attempt carries to an endpoint, and how: the seam between the one loop of a call and the ways of speaking.

use std::sync::Arc;

use mesh_daemon::alarm::Alarms;
use mesh_mcp::tool_name::ToolName;
use serde::Serialize;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::error::AttemptError;
use crate::passport::Passport;
use crate::wire::RequestHead;

/// Something that is carried to an endpoint and brings an answer back.
pub trait Errand: Send + Sync {
    /// What comes back.
    type Answer: Send;

    /// Whether it can be carried once more.
    fn can_repeat(&self) -> bool;

    /// Whether it is a call of the tool `name`, so that what the tool's hints say holds for it.
    fn is_call_of(&self, name: &str) -> bool;

    /// Whether it can be carried to two endpoints at once.
    fn can_race(&self) -> bool;

    /// Carries it to `endpoint`, where the capability is called `tool`.
    fn attempt(
        &self,
        endpoint: &Arc<Endpoint>,
        tool: &ToolName,
        stamp: Stamp<'_>,
    ) -> impl Future<Output = Result<Self::Answer, Fallen<Self::Answer>>> + Send;
}

/// What one attempt tells the peer about the call.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'c> {
    /// What the caller said.
    pub passport: &'c Passport,
    /// The number of the attempt; the first is 1.
    pub attempt: u32,
    /// When the answer must have begun.
    pub deadline: Instant,
    /// Sees to it that it does.
    pub alarms: &'c Alarms,
}

/// A failed attempt. Some failures are answers as well, which the caller gets when there is no other attempt.
#[derive(Debug)]
pub struct Fallen<A> {
    /// Why.
    pub fault: AttemptError,
    /// What the peer answered all the same.
    pub answer: Option<A>,
}

/// One attempt, as the agent is told about it.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptReport {
    /// Who was tried.
    pub agent_id: String,
    /// Where.
    pub endpoint: String,
    /// What happened.
    pub cause: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

// === impl Stamp ===

impl Stamp<'_> {
    /// Writes it into the head of a request.
    pub fn write(&self, head: &mut RequestHead) {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.passport.stamp(head, self.attempt, left);
    }

    /// The outcome of `attempt`, or that its time ran out.
    ///
    /// # Errors
    /// Those of `attempt`, and [`AttemptError::TimedOut`].
    pub async fn in_time<T>(
        &self,
        attempt: impl Future<Output = Result<T, AttemptError>> + Unpin,
    ) -> Result<T, AttemptError> {
        self.alarms.limit(self.deadline, attempt).await.unwrap_or(Err(AttemptError::TimedOut))
    }
}

// === impl Fallen ===

impl<A> From<AttemptError> for Fallen<A> {
    fn from(fault: AttemptError) -> Self {
        Self { fault, answer: None }
    }
}
