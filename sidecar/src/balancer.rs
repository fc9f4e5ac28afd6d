//! Chooses the endpoint of a call: who may serve it, and who of them should.
//!
//! Pure: the health, the breaker and the load of every candidate are arguments, and so is the random source.
//! `/explain` shows the verdicts, the call uses them; they cannot disagree.

use std::str::FromStr;

use mesh_api::health::Status;
use rand::{Rng, RngExt as _};
use serde::Serialize;

use crate::breaker::Admission;

/// Share of healthy candidates below which the registry's view is doubted and expired ones are tried too.
const PANIC_SHARE: f64 = 0.5;

/// How one of the candidates is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Of two at random the one with the lower score of [`crate::load`].
    #[default]
    Adaptive,
    /// One after the other, whatever their weight.
    RoundRobin,
    /// At random, as often as the weights say.
    Random,
    /// Of two at random the one with fewer calls in flight.
    LeastRequest,
}

/// What a policy compares.
pub trait Scales {
    /// The score of a candidate: lower is better.
    fn score(&self, index: usize) -> f64;
    /// Its calls in flight, divided by its weight.
    fn busy(&self, index: usize) -> f64;
    /// Its weight.
    fn weight(&self, index: usize) -> f64;
    /// A number that grows with every call.
    fn turn(&self) -> usize;
}

/// What is known about one candidate.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// What the registry says.
    pub status: Status,
    /// Its share of the load; 0 takes it out.
    pub weight: f64,
    /// What its breaker says.
    pub admission: Admission,
    /// Whether it is our own agent.
    pub is_self: bool,
    /// Whether calls must not go to its address.
    pub is_forbidden: bool,
    /// Whether it belongs to another branch of a split than the call.
    pub is_aside: bool,
    /// Whether this call tried it already.
    pub tried: bool,
}

/// Whether a candidate may serve the call, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may.
    Eligible,
    /// It is our own agent.
    OwnAgent,
    /// Calls must not go to its address.
    Forbidden,
    /// Its weight is 0.
    NoWeight,
    /// The registry says that it takes no calls.
    NotServing,
    /// Others are in better health.
    LessHealthy,
    /// Its breaker is open.
    BreakerOpen,
    /// The call belongs to another branch of a split.
    OtherBranch,
    /// This call tried it already.
    AlreadyTried,
}

impl FromStr for Policy {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "adaptive" => Ok(Self::Adaptive),
            "round_robin" => Ok(Self::RoundRobin),
            "random" => Ok(Self::Random),
            "least_request" => Ok(Self::LeastRequest),
            _ => Err("must be adaptive, round_robin, random or least_request"),
        }
    }
}

impl Verdict {
    /// The verdict to follow an agent's name.
    pub const fn as_words(self) -> &'static str {
        match self {
            Self::Eligible => "may serve",
            Self::OwnAgent => "is the caller itself",
            Self::Forbidden => "is at an address that must not be called",
            Self::OtherBranch => "belongs to another branch of the split",
            Self::NoWeight => "has weight 0",
            Self::NotServing => "takes no calls (expired, draining or offline)",
            Self::LessHealthy => "is less healthy than others",
            Self::BreakerOpen => "has an open circuit breaker",
            Self::AlreadyTried => "was tried already",
        }
    }
}

/// How good a status is: the smaller the better; `None` for one that takes no calls.
fn rank(status: Status, panic: bool) -> Option<u8> {
    match status {
        Status::Healthy => Some(0),
        // Not heard yet, or heard to be unwell: better than nobody.
        Status::Pending | Status::Degraded => Some(if panic { 0 } else { 1 }),
        Status::Expired if panic => Some(0),
        Status::Expired | Status::Draining | Status::Offline => None,
    }
}

/// A verdict for every candidate.
pub fn judge(candidates: &[Candidate]) -> Vec<Verdict> {
    let in_play = candidates.iter().filter(|candidate| is_in_play(candidate));
    let known = in_play.clone().filter(|candidate| candidate.status != Status::Offline).count();
    let healthy = in_play.filter(|candidate| candidate.status == Status::Healthy).count();
    let panic = (healthy as f64) < PANIC_SHARE * known as f64;
    let overruled = overruled_ejections(candidates, panic);
    let verdict =
        |index: usize, candidate: &Candidate| match (rank(candidate.status, panic), candidate.admission) {
            _ if candidate.is_self => Verdict::OwnAgent,
            _ if candidate.is_forbidden => Verdict::Forbidden,
            _ if candidate.weight <= 0.0 => Verdict::NoWeight,
            (None, _) => Verdict::NotServing,
            (_, Admission::Rejected { .. }) if !overruled.contains(&index) => Verdict::BreakerOpen,
            _ if candidate.tried => Verdict::AlreadyTried,
            _ if candidate.is_aside => Verdict::OtherBranch,
            _ => Verdict::Eligible,
        };
    let mut verdicts: Vec<_> =
        candidates.iter().enumerate().map(|(i, candidate)| verdict(i, candidate)).collect();
    // The other branch is better than nobody, and the same one again is better than nobody.
    for second_best in [Verdict::OtherBranch, Verdict::AlreadyTried] {
        admit_if_nobody_else(&mut verdicts, second_best);
    }
    keep_best_rank(&mut verdicts, |i| rank(candidates[i].status, panic));
    verdicts
}

/// The verdict on one that was asked for by name. It is not compared with anybody, so it needs no weight, and there is no
/// pool for whose sake the registry's view would be doubted.
pub fn judge_named(candidate: Candidate) -> Verdict {
    let verdict = judge(&[Candidate { weight: 1.0, ..candidate }]).into_iter().next();
    match verdict {
        Some(Verdict::Eligible | Verdict::BreakerOpen) if candidate.status == Status::Expired => {
            Verdict::NotServing
        }
        Some(verdict) => verdict,
        None => Verdict::NotServing,
    }
}

/// Which candidate was picked, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The candidate.
    pub index: usize,
    /// Whether the call is to show that it has recovered.
    pub is_trial: bool,
}

/// Picks one of the eligible as `policy` says.
///
/// One that is `on_trial` gets the calls for which it is drawn at random, its share among equals and no more: many callers
/// that all sent it their next call would throw it back at once.
pub fn pick(
    policy: Policy,
    verdicts: &[Verdict],
    on_trial: impl Fn(usize) -> bool,
    scales: &impl Scales,
    rng: &mut impl Rng,
) -> Option<Choice> {
    let mut eligible = (0..verdicts.len()).filter(|&i| verdicts[i] == Verdict::Eligible);
    let (first, second) = (eligible.next()?, eligible.next());
    let Some(second) = second else { return Some(Choice { index: first, is_trial: on_trial(first) }) };
    let eligible: Vec<_> = [first, second].into_iter().chain(eligible).collect();
    let drawn = eligible[rng.random_range(0..eligible.len())];
    if on_trial(drawn) {
        return Some(Choice { index: drawn, is_trial: true });
    }
    let index = match policy {
        Policy::Adaptive => better_of_two(&eligible, |i| scales.score(i), rng),
        Policy::LeastRequest => better_of_two(&eligible, |i| scales.busy(i), rng),
        Policy::RoundRobin => eligible[scales.turn() % eligible.len()],
        Policy::Random => by_weight(&eligible, |i| scales.weight(i), rng),
    };
    Some(Choice { index, is_trial: false })
}

/// The better one of two that are drawn at random. There are at least two.
fn better_of_two(several: &[usize], cost: impl Fn(usize) -> f64, rng: &mut impl Rng) -> usize {
    let first = rng.random_range(0..several.len());
    // Distinct from the first: skip over its place.
    let second = rng.random_range(0..several.len() - 1);
    let (first, second) = (several[first], several[if second >= first { second + 1 } else { second }]);
    if cost(first) <= cost(second) { first } else { second }
}

/// One drawn as often as its weight says. There is at least one.
fn by_weight(several: &[usize], weight: impl Fn(usize) -> f64, rng: &mut impl Rng) -> usize {
    let total: f64 = several.iter().map(|&i| weight(i)).sum();
    let mut left = rng.random_range(0.0..total.max(f64::MIN_POSITIVE));
    for &i in several {
        left -= weight(i);
        if left < 0.0 {
            return i;
        }
    }
    several[several.len() - 1]
}

/// Whether it may be called at all.
fn is_in_play(candidate: &Candidate) -> bool {
    !candidate.is_self && !candidate.is_forbidden && candidate.weight > 0.0
}

/// Soft failures never take more than half of a pool, which is everybody who could serve without them: the ejected beyond
/// that, those due back first, serve on.
fn overruled_ejections(candidates: &[Candidate], panic: bool) -> Vec<usize> {
    let could_serve = |candidate: &Candidate| {
        let is_out = matches!(candidate.admission, Admission::Rejected { soft: false, .. });
        is_in_play(candidate) && !is_out && rank(candidate.status, panic).is_some()
    };
    let pool = candidates.iter().enumerate().filter(|(_, candidate)| could_serve(candidate));
    let mut ejected: Vec<_> = pool
        .clone()
        .filter_map(|(i, candidate)| match candidate.admission {
            Admission::Rejected { until, .. } => Some((until, i)),
            Admission::Admitted => None,
        })
        .collect();
    ejected.sort_unstable();
    ejected.truncate(ejected.len().saturating_sub(pool.count() / 2));
    ejected.into_iter().map(|(_, i)| i).collect()
}

fn admit_if_nobody_else(verdicts: &mut [Verdict], second_best: Verdict) {
    if !verdicts.contains(&Verdict::Eligible) {
        for verdict in verdicts.iter_mut().filter(|verdict| **verdict == second_best) {
            *verdict = Verdict::Eligible;
        }
    }
}

fn keep_best_rank(verdicts: &mut [Verdict], rank: impl Fn(usize) -> Option<u8>) {
    let eligible = |verdicts: &[Verdict], i: usize| verdicts[i] == Verdict::Eligible;
    let best = (0..verdicts.len()).filter(|&i| eligible(verdicts, i)).filter_map(&rank).min();
    for i in 0..verdicts.len() {
        if eligible(verdicts, i) && rank(i) != best {
            verdicts[i] = Verdict::LessHealthy;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;
    use tokio::time::Instant;

    use super::*;

    fn candidate(status: Status) -> Candidate {
        Candidate {
            status,
            weight: 1.0,
            admission: Admission::Admitted,
            is_self: false,
            is_forbidden: false,
            is_aside: false,
            tried: false,
        }
    }

    fn ejected(soft: bool) -> Candidate {
        let admission = Admission::Rejected { soft, until: Instant::now() };
        Candidate { admission, ..candidate(Status::Healthy) }
    }

    use Verdict::{
        AlreadyTried, BreakerOpen, Eligible, Forbidden, LessHealthy, NoWeight, NotServing, OtherBranch,
        OwnAgent,
    };

    #[test]
    fn one_that_is_named_needs_no_weight_and_is_not_called_when_it_is_gone() {
        let of = |status| judge_named(Candidate { weight: 0.0, ..candidate(status) });
        for status in [Status::Healthy, Status::Pending, Status::Degraded] {
            assert_eq!(of(status), Eligible, "{status:?}");
        }
        for status in [Status::Expired, Status::Draining, Status::Offline] {
            assert_eq!(of(status), NotServing, "{status:?}");
        }
        let out = Admission::Rejected { soft: false, until: Instant::now() };
        assert_eq!(judge_named(Candidate { admission: out, ..candidate(Status::Healthy) }), BreakerOpen);
        assert_eq!(judge_named(Candidate { is_forbidden: true, ..candidate(Status::Expired) }), Forbidden);
    }

    /// Scores that grow with the index, one weight for all.
    struct ByIndex(usize);

    impl Scales for ByIndex {
        fn score(&self, index: usize) -> f64 {
            index as f64
        }
        fn busy(&self, index: usize) -> f64 {
            index as f64
        }
        fn weight(&self, index: usize) -> f64 {
            index as f64
        }
        fn turn(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn the_healthy_serve_before_the_degraded_and_the_expired_never() {
        let statuses = [Status::Healthy, Status::Healthy, Status::Degraded, Status::Expired];
        assert_eq!(judge(&statuses.map(candidate)), [Eligible, Eligible, LessHealthy, NotServing]);
        let statuses = [Status::Offline, Status::Draining, Status::Degraded];
        assert_eq!(judge(&statuses.map(candidate)), [NotServing, NotServing, Eligible]);
    }

    #[test]
    fn when_most_look_dead_the_registry_is_doubted() {
        let statuses = [Status::Healthy, Status::Expired, Status::Expired];
        assert_eq!(judge(&statuses.map(candidate)), [Eligible; 3]);
    }

    #[test]
    fn own_agent_forbidden_weightless_ejected_tried_and_those_aside_are_passed_over() {
        let healthy = candidate(Status::Healthy);
        let candidates = [
            Candidate { is_self: true, ..healthy },
            Candidate { is_forbidden: true, ..healthy },
            Candidate { weight: 0.0, ..healthy },
            ejected(false),
            Candidate { tried: true, ..healthy },
            Candidate { is_aside: true, ..healthy },
            healthy,
        ];
        let verdicts = [OwnAgent, Forbidden, NoWeight, BreakerOpen, AlreadyTried, OtherBranch, Eligible];
        assert_eq!(judge(&candidates), verdicts);
    }

    #[test]
    fn the_other_branch_serves_before_a_call_fails_and_before_it_is_repeated_at_the_same_one() {
        let healthy = candidate(Status::Healthy);
        let (tried, aside) = (Candidate { tried: true, ..healthy }, Candidate { is_aside: true, ..healthy });
        assert_eq!(judge(&[tried, aside]), [AlreadyTried, Eligible]);
        assert_eq!(judge(&[ejected(false), aside]), [BreakerOpen, Eligible]);
    }

    #[test]
    fn the_same_one_is_tried_again_when_there_is_no_other() {
        let tried = Candidate { tried: true, ..candidate(Status::Healthy) };
        assert_eq!(judge(&[tried, ejected(false)]), [Eligible, BreakerOpen]);
    }

    #[test]
    fn soft_failures_take_half_of_a_pool_at_most_and_hard_ones_all() {
        let open = |candidates: &[Candidate]| {
            judge(candidates).iter().filter(|&&verdict| verdict == BreakerOpen).count()
        };
        assert_eq!(open(&[ejected(true); 4]), 2);
        assert_eq!(open(&[ejected(true)]), 0);
        assert_eq!(open(&[ejected(false); 4]), 4);
    }

    #[test]
    fn who_cannot_serve_anyway_does_not_count_as_a_part_of_the_pool() {
        let ourselves = Candidate { is_self: true, ..candidate(Status::Healthy) };
        assert_eq!(judge(&[ourselves, ejected(true)]), [OwnAgent, Eligible]);
        assert_eq!(judge(&[ejected(false), ejected(true)]), [BreakerOpen, Eligible]);
        assert_eq!(judge(&[candidate(Status::Offline), ejected(true)]), [NotServing, Eligible]);
    }

    fn picked(
        policy: Policy,
        verdicts: &[Verdict],
        scales: &impl Scales,
        rng: &mut SmallRng,
    ) -> Option<usize> {
        pick(policy, verdicts, |_| false, scales, rng).map(|choice| choice.index)
    }

    #[test]
    fn the_better_of_two_is_picked() {
        let mut rng = SmallRng::seed_from_u64(3);
        for policy in [Policy::Adaptive, Policy::LeastRequest] {
            for _ in 0..50 {
                let verdicts = [Eligible, BreakerOpen, Eligible];
                assert_eq!(picked(policy, &verdicts, &ByIndex(0), &mut rng), Some(0), "{policy:?}");
            }
        }
        assert_eq!(pick(Policy::Adaptive, &[BreakerOpen], |_| true, &ByIndex(0), &mut rng), None);
    }

    #[test]
    fn one_on_trial_gets_its_share_of_the_calls_and_no_more() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut picks = |verdicts: &[Verdict]| {
            let mut pick = || pick(Policy::Adaptive, verdicts, |i| i == 3, &ByIndex(0), &mut rng);
            (0..4_000).filter(|_| pick().is_some_and(|choice| choice.is_trial && choice.index == 3)).count()
        };
        assert!((900..1_100).contains(&picks(&[Eligible; 4])));
        assert_eq!(picks(&[Eligible, Eligible, Eligible, BreakerOpen]), 0);
        assert_eq!(picks(&[BreakerOpen, BreakerOpen, BreakerOpen, Eligible]), 4_000);
    }

    #[test]
    fn equals_share_the_load() {
        struct Equal;
        impl Scales for Equal {
            fn score(&self, _: usize) -> f64 {
                1.0
            }
            fn busy(&self, _: usize) -> f64 {
                1.0
            }
            fn weight(&self, _: usize) -> f64 {
                1.0
            }
            fn turn(&self) -> usize {
                0
            }
        }
        let mut rng = SmallRng::seed_from_u64(3);
        for policy in [Policy::Adaptive, Policy::LeastRequest, Policy::Random] {
            let mut hits = [0; 5];
            for _ in 0..5_000 {
                hits[picked(policy, &[Eligible; 5], &Equal, &mut rng).unwrap()] += 1;
            }
            assert!(hits.iter().all(|&n| n > 800 && n < 1_200), "{policy:?} {hits:?}");
        }
    }

    #[test]
    fn round_robin_takes_turns_and_random_follows_the_weights() {
        let mut rng = SmallRng::seed_from_u64(3);
        let verdicts = [Eligible, Eligible, BreakerOpen, Eligible];
        let turns: Vec<_> = (0..6)
            .filter_map(|turn| picked(Policy::RoundRobin, &verdicts, &ByIndex(turn), &mut rng))
            .collect();
        assert_eq!(turns, [0, 1, 3, 0, 1, 3]);
        let mut hits = [0; 4];
        for _ in 0..4_000 {
            hits[picked(Policy::Random, &verdicts, &ByIndex(0), &mut rng).unwrap()] += 1;
        }
        assert!(hits[0] == 0 && (900..1_100).contains(&hits[1]) && hits[3] > 2_900, "{hits:?}");
    }

    proptest! {
        #[test]
        fn somebody_serves_whenever_anybody_can(
            pool in prop::collection::vec((0usize..6, any::<bool>(), any::<bool>(), any::<bool>()), 0..8)
        ) {
            let candidates: Vec<_> = pool
                .iter()
                .map(|&(status, open, soft, tried)| {
                    let base = if open { ejected(soft) } else { candidate(Status::Healthy) };
                    Candidate { status: Status::ALL[status], tried, ..base }
                })
                .collect();
            let can = candidates.iter().any(|candidate| {
                candidate.admission == Admission::Admitted
                    && matches!(candidate.status, Status::Healthy | Status::Pending | Status::Degraded)
            });
            let mut rng = SmallRng::seed_from_u64(0);
            let picked = picked(Policy::Adaptive, &judge(&candidates), &ByIndex(0), &mut rng);
            prop_assert!(!can || picked.is_some());
            if let Some(picked) = picked {
                prop_assert!(!matches!(candidates[picked].status, Status::Offline | Status::Draining));
            }
        }
    }
}
