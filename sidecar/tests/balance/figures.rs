//! What is measured: how calls ended, and what that comes to.

use std::time::Duration;

use crate::cases::Case;

/// The end of a run, in which the share of the last agent is measured.
const LATE: Duration = Duration::from_secs(30);

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// When it began, counted from the beginning of the fault.
    pub(crate) began: Duration,
    /// How long it took, retries and their pauses included.
    pub(crate) took: Duration,
    /// Who answered; nobody when it failed.
    pub(crate) served_by: Option<usize>,
    /// Attempts that it took.
    pub(crate) attempts: usize,
}

/// What a run comes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Share of the calls that failed, in percent.
    pub(crate) errors: f64,
    /// Half of the answered calls took no longer.
    pub(crate) p50: Duration,
    /// 99 of 100 answered calls took no longer.
    pub(crate) p99: Duration,
    /// Attempts for each call.
    pub(crate) attempts: f64,
    /// Share of the last agent among those who answered late in the run, in percent.
    pub(crate) late_share: f64,
}

impl Figures {
    /// What `ended` comes to.
    pub(crate) fn of(case: Case, ended: &[Ended]) -> Self {
        let mut took: Vec<_> =
            ended.iter().filter(|call| call.served_by.is_some()).map(|call| call.took).collect();
        let answered = took.len();
        let mut quantile = |percent: usize| *took.select_nth_unstable(answered * percent / 100).1;
        let attempts: usize = ended.iter().map(|call| call.attempts).sum();
        Self {
            errors: percent(ended.len() - answered, ended.len()),
            p50: quantile(50),
            p99: quantile(99),
            attempts: attempts as f64 / ended.len() as f64,
            late_share: late_share(case, ended),
        }
    }

    /// The means of several runs.
    pub(crate) fn mean(runs: &[Self]) -> Self {
        let n = runs.len() as u32;
        let mean = |figure: fn(&Self) -> f64| runs.iter().map(figure).sum::<f64>() / f64::from(n);
        Self {
            errors: mean(|run| run.errors),
            p50: runs.iter().map(|run| run.p50).sum::<Duration>() / n,
            p99: runs.iter().map(|run| run.p99).sum::<Duration>() / n,
            attempts: mean(|run| run.attempts),
            late_share: mean(|run| run.late_share),
        }
    }
}

fn late_share(case: Case, ended: &[Ended]) -> f64 {
    let span = case.service().span;
    let late: Vec<_> =
        ended.iter().filter(|call| call.began + LATE >= span).filter_map(|call| call.served_by).collect();
    percent(late.iter().filter(|&&agent| agent + 1 == case.agents()).count(), late.len())
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
