//! Where a call can go: the providers that discovery knows, each with a verdict and a score.
//!
//! The call and `/explain` both look here, so an explanation is never about another choice than the one made.

use std::sync::Arc;
use std::time::Duration;

use mesh_client::dice::Dice;
use mesh_client::error::ClientError;
use rand::RngExt as _;
use tokio::time::Instant;

use crate::balancer::{self, Candidate, Policy, Scales, Verdict};
use crate::breaker::Admission;
use crate::cache::slot::Found;
use crate::discovery::Discovery;
use crate::error::CallError;
use crate::provider::{Provider, Providers};
use crate::target::Target;
use crate::{affinity, error};

/// What a caller is told to wait when no breaker says better.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Finds and judges the providers of a call.
pub struct Routing {
    discovery: Arc<Discovery>,
    /// Our own agent, which is never called through the mesh.
    own_id: Option<String>,
}

/// What a call wants of its provider.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'c> {
    /// Agents that the call has tried.
    pub tried: &'c [String],
    /// Calls with the same key go to the same provider.
    pub affinity: Option<&'c str>,
    /// The only provider that will do, because it holds the caller's session.
    pub pinned: Option<&'c str>,
    /// The branch of a split that the call belongs to.
    pub branch: Option<usize>,
    /// Whether executing it twice is as good as once, so that it can be the trial of a provider that failed.
    pub is_safe: bool,
    /// Whether the hints of the provider's tool say so as well.
    pub trusts_hints: bool,
}

/// A provider as it looks for one call.
#[derive(Debug)]
pub struct Judged<'p> {
    /// The provider.
    pub provider: &'p Provider,
    /// Whether it may serve, and why not.
    pub verdict: Verdict,
    /// The number to compare: lower is better.
    pub score: f64,
}

/// The provider of the next attempt.
#[derive(Debug, Clone, Copy)]
pub struct Picked<'p> {
    /// The provider.
    pub provider: &'p Provider,
    /// Whether the attempt is to show that it has recovered.
    pub is_trial: bool,
}

/// What the policies compare.
struct Measured<'p> {
    providers: &'p Providers,
    median: Duration,
}

// === impl Routing ===

impl Routing {
    /// Finds providers through `discovery`.
    pub fn new(discovery: Arc<Discovery>, own_id: Option<String>) -> Self {
        Self { discovery, own_id }
    }

    /// Everybody who offers what `target` asks for.
    ///
    /// # Errors
    /// When nobody does, or the registry cannot be asked and nothing is remembered.
    pub async fn resolve(&self, target: &Target) -> Result<Found<Providers>, CallError> {
        let found =
            self.discovery.providers(&target.slot).await.map_err(|fault| unresolved(target, fault))?;
        if found.value.origin.rows.is_empty() {
            return Err(nobody(target));
        }
        Ok(found)
    }

    /// A verdict on each of `providers` for a call with this wish.
    pub fn judge<'p>(&self, target: &Target, providers: &'p Providers, wish: Wish<'_>) -> Vec<Judged<'p>> {
        let measured = Measured::of(providers);
        let verdicts = self.verdicts(target, providers, wish);
        let judged = providers.list.iter().zip(verdicts).enumerate();
        judged
            .map(|(i, (provider, verdict))| Judged { provider, verdict, score: measured.score(i) })
            .collect()
    }

    /// The branch that a call belongs to: by its key, so that whoever has one stays where he is, or at random.
    pub fn branch(&self, target: &Target, affinity: Option<&str>) -> Option<usize> {
        let split = &target.shared.terms.split;
        if split.branches.is_empty() {
            return None;
        }
        split.choose(affinity.map_or_else(|| Dice.random_range(0.0..1.0), affinity::place))
    }

    /// The provider that the next attempt goes to.
    ///
    /// # Errors
    /// Why there is none, for each of them.
    pub fn pick<'p>(
        &self,
        target: &Target,
        providers: &'p Providers,
        wish: Wish<'_>,
    ) -> Result<Picked<'p>, CallError> {
        let verdicts = self.verdicts(target, providers, wish);
        if target.agent().is_some() {
            return pick_named(target, providers, &verdicts, wish.pinned.is_some());
        }
        if let Some(pinned) = wish.pinned {
            return pick_pinned(target, providers, &verdicts, pinned);
        }
        let picked = match wish.affinity {
            Some(key) => pick_by_key(providers, &verdicts, key),
            None => pick_by_policy(target.shared.terms.policy, providers, &verdicts, wish),
        };
        picked.ok_or_else(|| all_out(target, providers, &verdicts))
    }

    /// Asks the registry again soon, because a provider could not be reached: it may have moved.
    pub fn doubt(&self, target: &Target) {
        self.discovery.doubt(&target.slot);
    }

    fn verdicts(&self, target: &Target, providers: &Providers, wish: Wish<'_>) -> Vec<Verdict> {
        let candidates: Vec<_> =
            providers.list.iter().map(|provider| self.candidate(target, provider, wish)).collect();
        match target.agent() {
            Some(_) => candidates.into_iter().map(balancer::judge_named).collect(),
            None => balancer::judge(&candidates),
        }
    }

    fn candidate(&self, target: &Target, provider: &Provider, wish: Wish<'_>) -> Candidate {
        let id = &provider.endpoint.agent_id;
        let branch_of = || target.shared.terms.split.branch_of(&provider.version, &provider.labels);
        Candidate {
            status: provider.status,
            weight: provider.weight,
            admission: provider.endpoint.admission(),
            is_self: self.own_id.as_ref() == Some(id),
            is_forbidden: provider.is_forbidden,
            is_aside: wish.branch.is_some() && branch_of() != wish.branch,
            tried: wish.tried.contains(id),
        }
    }
}

// === impl Measured ===

impl<'p> Measured<'p> {
    fn of(providers: &'p Providers) -> Self {
        Self { providers, median: providers.median_latency(Instant::now()) }
    }
}

impl Scales for Measured<'_> {
    fn score(&self, index: usize) -> f64 {
        let provider = &self.providers.list[index];
        provider.zone_factor * provider.lane.score(&provider.endpoint, provider.weight, self.median)
    }

    fn busy(&self, index: usize) -> f64 {
        let provider = &self.providers.list[index];
        (provider.endpoint.in_flight() as f64 + 1.0) / provider.weight
    }

    fn weight(&self, index: usize) -> f64 {
        self.providers.list[index].weight
    }

    fn turn(&self) -> usize {
        self.providers.turn()
    }
}

fn pick_by_policy<'p>(
    policy: Policy,
    providers: &'p Providers,
    verdicts: &[Verdict],
    wish: Wish<'_>,
) -> Option<Picked<'p>> {
    let on_trial = |i: usize| {
        let provider = &providers.list[i];
        let is_safe = wish.is_safe || (wish.trusts_hints && provider.is_safe_to_repeat);
        is_safe && provider.endpoint.is_on_trial(&provider.lane)
    };
    let choice = balancer::pick(policy, verdicts, on_trial, &Measured::of(providers), &mut Dice)?;
    Some(Picked { provider: &providers.list[choice.index], is_trial: choice.is_trial })
}

fn pick_by_key<'p>(providers: &'p Providers, verdicts: &[Verdict], key: &str) -> Option<Picked<'p>> {
    let distance = |i: usize| {
        let provider = &providers.list[i];
        affinity::distance(key, &provider.endpoint.agent_id, provider.weight)
    };
    let eligible = (0..verdicts.len()).filter(|&i| verdicts[i] == Verdict::Eligible);
    let nearest = eligible.min_by(|&a, &b| distance(a).total_cmp(&distance(b)))?;
    Some(Picked { provider: &providers.list[nearest], is_trial: false })
}

/// The agent that was asked for. One that takes no new calls goes on with the sessions that it holds.
fn pick_named<'p>(
    target: &Target,
    providers: &'p Providers,
    verdicts: &[Verdict],
    has_session: bool,
) -> Result<Picked<'p>, CallError> {
    match (providers.list.first(), verdicts.first()) {
        (Some(provider), Some(Verdict::Eligible)) => Ok(Picked { provider, is_trial: false }),
        (Some(provider), Some(Verdict::NotServing)) if has_session => {
            Ok(Picked { provider, is_trial: false })
        }
        _ => Err(all_out(target, providers, verdicts)),
    }
}

/// The one that holds the session, while it can be called at all: being unwell is no reason to lose the session.
fn pick_pinned<'p>(
    target: &Target,
    providers: &'p Providers,
    verdicts: &[Verdict],
    pinned: &str,
) -> Result<Picked<'p>, CallError> {
    let at = providers.list.iter().position(|provider| provider.endpoint.agent_id == pinned);
    let at = at.ok_or(CallError::SessionGone)?;
    match verdicts[at] {
        Verdict::Forbidden => Err(CallError::SessionGone),
        Verdict::BreakerOpen => Err(all_out(target, providers, verdicts)),
        _ => Ok(Picked { provider: &providers.list[at], is_trial: false }),
    }
}

fn all_out(target: &Target, providers: &Providers, verdicts: &[Verdict]) -> CallError {
    let open = providers.list.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::BreakerOpen);
    open.for_each(|(provider, _)| provider.endpoint.hasten());
    let now = Instant::now();
    let reopening = providers.list.iter().filter_map(|provider| match provider.endpoint.admission() {
        Admission::Rejected { until, .. } => Some(until.saturating_duration_since(now)),
        Admission::Admitted => None,
    });
    let judged = providers.list.iter().zip(verdicts).map(|(provider, verdict)| {
        let why = Some(provider.endpoint.pool.refusal()).filter(|_| *verdict == Verdict::Forbidden).flatten();
        let why = why.map(|fault| format!(" ({})", error::chain(&fault))).unwrap_or_default();
        format!("{} {}{why}", provider.endpoint.agent_id, verdict.as_words())
    });
    let unfit =
        providers.unfit.iter().map(|one| format!("{} cannot be called: {}", one.agent_id, one.reason));
    CallError::AllOut {
        capability: target.name.clone(),
        known: providers.list.len() + providers.unfit.len(),
        reasons: judged.chain(unfit).collect::<Vec<_>>().join(", "),
        retry_after: reopening.min().unwrap_or(DEFAULT_RETRY_AFTER),
    }
}

fn unresolved(target: &Target, fault: Arc<ClientError>) -> CallError {
    match fault.as_ref() {
        ClientError::Refused { body, .. } if !fault.is_outage() => {
            CallError::QueryRefused(body.error.clone())
        }
        _ => CallError::RegistryAway { capability: target.name.clone(), source: fault },
    }
}

fn nobody(target: &Target) -> CallError {
    let filter = target.question.conditions();
    match target.agent() {
        Some(id) => CallError::NoAgent { id: id.to_owned(), filter },
        None => CallError::NoProvider { capability: target.name.clone(), filter },
    }
}
