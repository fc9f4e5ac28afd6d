//! Chooses the endpoint of a call: who may serve it, and who of them should.
//!
//! Pure: the health, the breaker and the load of every candidate are arguments, and so is the random source.
//! `/explain` shows the verdicts, the call uses them; they cannot disagree.

use mesh_api::health::Status;
use rand::{Rng, RngExt as _};
use serde::Serialize;

use crate::breaker::Admission;

/// Share of healthy candidates below which the registry's view is doubted and expired ones are tried too.
const PANIC_SHARE: f64 = 0.5;

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
    /// Its weight is 0.
    NoWeight,
    /// The registry says that it takes no calls.
    NotServing,
    /// Others are in better health.
    LessHealthy,
    /// Its breaker is open.
    BreakerOpen,
    /// This call tried it already.
    AlreadyTried,
}

impl Verdict {
    /// The verdict to follow an agent's name.
    pub const fn as_words(self) -> &'static str {
        match self {
            Self::Eligible => "may serve",
            Self::OwnAgent => "is the caller itself",
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
    let in_play = |candidate: &&Candidate| !candidate.is_self && candidate.weight > 0.0;
    let known =
        candidates.iter().filter(in_play).filter(|candidate| candidate.status != Status::Offline).count();
    let healthy =
        candidates.iter().filter(in_play).filter(|candidate| candidate.status == Status::Healthy).count();
    let panic = (healthy as f64) < PANIC_SHARE * known as f64;
    let overruled = overruled_ejections(candidates);
    let verdict =
        |index: usize, candidate: &Candidate| match (rank(candidate.status, panic), candidate.admission) {
            _ if candidate.is_self => Verdict::OwnAgent,
            _ if candidate.weight <= 0.0 => Verdict::NoWeight,
            (None, _) => Verdict::NotServing,
            (_, Admission::Rejected { .. }) if !overruled.contains(&index) => Verdict::BreakerOpen,
            _ if candidate.tried => Verdict::AlreadyTried,
            _ => Verdict::Eligible,
        };
    let mut verdicts: Vec<_> =
        candidates.iter().enumerate().map(|(i, candidate)| verdict(i, candidate)).collect();
    forgive_tried(&mut verdicts);
    keep_best_rank(&mut verdicts, |i| rank(candidates[i].status, panic));
    verdicts
}

/// Picks one of the eligible: one that is `on_trial` if there is any, else two at random and of them the one with the
/// lower score. `score` is asked for those two only.
pub fn pick(
    verdicts: &[Verdict],
    on_trial: impl Fn(usize) -> bool,
    score: impl Fn(usize) -> f64,
    rng: &mut impl Rng,
) -> Option<usize> {
    let eligible: Vec<_> = (0..verdicts.len()).filter(|&i| verdicts[i] == Verdict::Eligible).collect();
    if let Some(trial) = eligible.iter().copied().find(|&i| on_trial(i)) {
        return Some(trial);
    }
    match eligible.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => {
            let first = rng.random_range(0..several.len());
            // Distinct from the first: skip over its place.
            let second = rng.random_range(0..several.len() - 1);
            let (first, second) =
                (several[first], several[if second >= first { second + 1 } else { second }]);
            Some(if score(first) <= score(second) { first } else { second })
        }
    }
}

/// Soft failures never take more than half of a pool: the ejected beyond that, those due back first, serve on.
fn overruled_ejections(candidates: &[Candidate]) -> Vec<usize> {
    let mut ejected: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter_map(|(i, candidate)| match candidate.admission {
            Admission::Rejected { soft: true, until } => Some((until, i)),
            _ => None,
        })
        .collect();
    ejected.sort_unstable();
    ejected.truncate(ejected.len().saturating_sub(candidates.len() / 2));
    ejected.into_iter().map(|(_, i)| i).collect()
}

/// Trying the same one again is better than nobody.
fn forgive_tried(verdicts: &mut [Verdict]) {
    if !verdicts.contains(&Verdict::Eligible) {
        for verdict in verdicts.iter_mut().filter(|verdict| **verdict == Verdict::AlreadyTried) {
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
        Candidate { status, weight: 1.0, admission: Admission::Admitted, is_self: false, tried: false }
    }

    fn ejected(soft: bool) -> Candidate {
        let admission = Admission::Rejected { soft, until: Instant::now() };
        Candidate { admission, ..candidate(Status::Healthy) }
    }

    use Verdict::{AlreadyTried, BreakerOpen, Eligible, LessHealthy, NoWeight, NotServing, OwnAgent};

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
    fn own_agent_weightless_ejected_and_tried_are_passed_over() {
        let healthy = candidate(Status::Healthy);
        let candidates = [
            Candidate { is_self: true, ..healthy },
            Candidate { weight: 0.0, ..healthy },
            ejected(false),
            Candidate { tried: true, ..healthy },
            healthy,
        ];
        assert_eq!(judge(&candidates), [OwnAgent, NoWeight, BreakerOpen, AlreadyTried, Eligible]);
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
    fn the_better_of_two_is_picked() {
        let mut rng = SmallRng::seed_from_u64(3);
        let picked =
            |rng: &mut SmallRng| pick(&[Eligible, BreakerOpen, Eligible], |_| false, |i| i as f64, rng);
        assert!((0..50).all(|_| picked(&mut rng) == Some(0)));
        assert_eq!(pick(&[BreakerOpen], |_| true, |_| 0.0, &mut rng), None);
    }

    #[test]
    fn one_on_trial_is_picked_before_the_better_ones_unless_it_may_not_serve() {
        let mut rng = SmallRng::seed_from_u64(3);
        assert_eq!(pick(&[Eligible, Eligible, Eligible], |i| i == 2, |i| i as f64, &mut rng), Some(2));
        assert_eq!(pick(&[Eligible, BreakerOpen], |i| i == 1, |i| i as f64, &mut rng), Some(0));
    }

    #[test]
    fn equals_share_the_load() {
        let mut rng = SmallRng::seed_from_u64(3);
        let mut hits = [0; 5];
        for _ in 0..5_000 {
            hits[pick(&[Eligible; 5], |_| false, |_| 1.0, &mut rng).unwrap()] += 1;
        }
        assert!(hits.iter().all(|&n| n > 800 && n < 1_200), "{hits:?}");
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
            let picked = pick(&judge(&candidates), |_| false, |_| 1.0, &mut SmallRng::seed_from_u64(0));
            prop_assert!(!can || picked.is_some());
            if let Some(picked) = picked {
                prop_assert!(!matches!(candidates[picked].status, Status::Offline | Status::Draining));
            }
        }
    }
}
