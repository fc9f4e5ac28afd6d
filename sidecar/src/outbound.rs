//! One call, top to bottom: place -> resolve -> pick -> attempt -> (retry) -> reply.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use mesh_daemon::alarm::Alarms;
use tokio::time::{Instant, sleep};

use crate::access::{Access, AccessLog};
use crate::course::{Attempted, Call, Course, Reply, Ways};
use crate::errand::{AttemptReport, Errand};
use crate::error::{AttemptError, CallError};
use crate::metrics::{Metrics, SUCCESS};
use crate::places::Places;
use crate::provider::Provider;
use crate::replay::BodyFault;
use crate::retry::{Decision, Denied};
use crate::routing::Routing;

/// Carries calls out.
pub struct Outbound {
    ways: Ways,
    limits: Limits,
    places: Places,
    access_log: AccessLog,
}

/// What all calls of this sidecar have in common.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Repeats of one call at most, unless the manifest says otherwise.
    pub max_retries: u32,
    /// Calls in flight at most.
    pub max_in_flight: usize,
    /// Time for calls for which neither the caller nor the manifest says one.
    pub timeout: Duration,
}

/// Why a call failed, and what was tried.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: CallError,
    /// What was tried.
    pub attempts: Vec<AttemptReport>,
}

// === impl Outbound ===

impl Outbound {
    /// Sends calls where `routing` says.
    pub fn new(routing: Arc<Routing>, limits: Limits, metrics: Arc<Metrics>, access_log: AccessLog) -> Self {
        let places = Places::new(limits.max_in_flight, Arc::clone(&metrics));
        Self { ways: Ways { routing, metrics, alarms: Alarms::default() }, limits, places, access_log }
    }

    /// Carries out one call.
    ///
    /// # Errors
    /// Why it failed, and what was tried.
    pub async fn carry<E: Errand>(&self, call: &Call, errand: &E) -> Result<Reply<E::Answer>, Failure> {
        let began = Instant::now();
        let mut failed = Vec::new();
        let outcome = self.carry_out(call, errand, began, &mut failed).await;
        let access = match &outcome {
            Ok(reply) => {
                Access { outcome: SUCCESS, agent_id: &reply.endpoint.agent_id, attempts: reply.attempts }
            }
            Err(error) => Access { outcome: error.label(), agent_id: "", attempts: failed.len() as u32 },
        };
        let took = began.elapsed();
        call.target.shared.meters.call_ended(access.outcome, took);
        self.access_log.write(&call.target.name, &call.passport, access, took);
        outcome.map_err(|error| Failure { error, attempts: failed })
    }

    async fn carry_out<E: Errand>(
        &self,
        call: &Call,
        errand: &E,
        began: Instant,
        failed: &mut Vec<AttemptReport>,
    ) -> Result<Reply<E::Answer>, CallError> {
        let place = self.places.take()?;
        let mut course = self.set_out(call, errand, began).await?;
        // Shared, so that the course can be noted while a provider is looked at.
        let providers = course.providers();
        loop {
            let picked = self.ways.routing.pick(&call.target, &providers, course.wish())?;
            let (attempted, failed_before) = course.attempt(&providers, picked).await;
            for attempted in failed_before.iter().chain([&attempted]) {
                course.note(attempted, failed);
            }
            let Attempted { provider, outcome, occupied, .. } = attempted;
            let fallen = match outcome {
                Ok(answer) => return Ok(course.reply(provider, answer, place, occupied)),
                Err(fallen) => fallen,
            };
            match course.decide(provider, &fallen.fault, self.limits.max_retries) {
                Decision::Retry(pause) => sleep(pause).await,
                Decision::Stop(denied) => {
                    self.ways.metrics.retry_denied(denied.as_str());
                    return match fallen.answer {
                        Some(answer) => Ok(course.reply(provider, answer, place, occupied)),
                        None => Err(given_up(call, provider, fallen.fault, denied)),
                    };
                }
            }
        }
    }

    /// Finds the providers, and notes that a call begins.
    async fn set_out<'c, E: Errand>(
        &'c self,
        call: &'c Call,
        errand: &'c E,
        began: Instant,
    ) -> Result<Course<'c, E>, CallError> {
        let shared = &call.target.shared;
        let time = call.passport.timeout.or(shared.terms.timeout).unwrap_or(self.limits.timeout);
        let deadline = began + time;
        let resolving = pin!(self.ways.routing.resolve(&call.target));
        let found = self.ways.alarms.limit(deadline, resolving).await;
        let found = found.map_err(|_| CallError::Deadline(time))??;
        shared.budget().deposit(self.places.taken(), began);
        if shared.terms.hedge.is_some() {
            shared.hedging().deposit();
        }
        Ok(Course::new(&self.ways, call, errand, found, deadline))
    }
}

fn given_up(call: &Call, provider: &Provider, source: AttemptError, denied: Denied) -> CallError {
    match source {
        AttemptError::Body(BodyFault::TooLarge(limit)) => CallError::BodyTooLarge(limit),
        AttemptError::Body(_) => CallError::BodyIncomplete,
        source => CallError::Failed {
            capability: call.target.name.clone(),
            agent: provider.endpoint.agent_id.clone(),
            denied,
            source,
        },
    }
}
