//! What the balancer is worth: a fleet of sidecars with the real machines calls agents of which one is unwell.
//!
//! A discrete-event simulation, seeded, so that a run is a fact: the same code has the same figures everywhere. Bounds
//! fail when the score loses its memory of failures, the age of the oldest call, the calls in flight or the drift toward
//! the median, and when failed agents are not tried any more.

#![cfg(test)]

mod table;

mod world;

mod agent;
mod caller;

mod choice;

mod endpoint;
mod peak_ewma;

mod figures;

mod cases;

use std::time::Duration;

use crate::cases::{Case, Fleet};
use crate::choice::Setup;
use crate::figures::Figures;
use crate::table::TABLE;
use crate::world::World;

/// Fails unless all runs of ours stay within `bound`.
fn expect(case: Case, fleet: Fleet, setup: Setup, bound: impl Fn(&Figures) -> bool) {
    for one in TABLE.runs(case, fleet, setup) {
        assert!(bound(one), "{}, {fleet:?}, {}: {one:#?}", case.name(), setup.name());
    }
}

/// Fails unless fewer calls fail with our balancer than `percent`, and than with anybody else's.
fn expect_few_errors(case: Case, fleet: Fleet, percent: f64) {
    let others = Setup::OTHERS.map(|setup| Figures::mean(TABLE.runs(case, fleet, setup)).errors);
    let best = others.into_iter().fold(f64::INFINITY, f64::min);
    expect(case, fleet, Setup::ADAPTIVE, |one| one.errors < percent && one.errors < best);
}

/// Fails unless 99 of 100 answered calls take less than that.
fn expect_soon(case: Case, fleet: Fleet, setup: Setup, ms: u64) {
    expect(case, fleet, setup, |one| one.p99 < Duration::from_millis(ms));
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| World::run(Case::LongFailing, Fleet::Busy, Setup::Whole, seed);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn agents_that_are_well_share_the_load() {
    for fleet in Fleet::ALL {
        expect_soon(Case::NoFault, fleet, Setup::ADAPTIVE, 190);
        expect_soon(Case::Long, fleet, Setup::ADAPTIVE, 25_000);
        expect(Case::NoFault, fleet, Setup::ADAPTIVE, |one| one.late_share > 15.0 && one.late_share < 25.0);
    }
}

#[test]
fn an_agent_that_fails_fast_is_not_taken_for_a_fast_one() {
    expect_few_errors(Case::Failing, Fleet::Busy, 0.3);
    expect_few_errors(Case::Failing, Fleet::Quiet, 2.5);
}

#[test]
fn nor_is_it_when_good_calls_take_seconds() {
    expect_few_errors(Case::LongFailing, Fleet::Busy, 1.0);
    expect_few_errors(Case::LongFailing, Fleet::Quiet, 5.0);
}

/// What is in flight there is lost: the age of the oldest call keeps that to one for each sidecar, or little more.
#[test]
fn an_agent_that_falls_silent_gets_hardly_another_call() {
    expect_few_errors(Case::Silent, Fleet::Busy, 0.2);
    expect_few_errors(Case::Silent, Fleet::Quiet, 2.0);
}

#[test]
fn a_slow_agent_is_left_alone_even_by_those_who_hardly_ever_call() {
    expect_soon(Case::Slow, Fleet::Busy, Setup::ADAPTIVE, 230);
    expect_soon(Case::Slow, Fleet::Quiet, Setup::ADAPTIVE, 350);
}

#[test]
fn so_it_is_when_good_calls_take_seconds() {
    expect_soon(Case::LongSlow, Fleet::Busy, Setup::ADAPTIVE, 45_000);
    expect_soon(Case::LongSlow, Fleet::Quiet, Setup::ADAPTIVE, 80_000);
}

#[test]
fn an_agent_that_joins_cold_is_not_flooded() {
    expect_soon(Case::ColdJoiner, Fleet::Busy, Setup::ADAPTIVE, 300);
    expect_soon(Case::ColdJoiner, Fleet::Quiet, Setup::ADAPTIVE, 1_500);
}

#[test]
fn with_breaker_and_retry_no_call_fails_because_of_one_agent() {
    // Whoever waits for an answer until its time is over has none left to ask another agent.
    for case in Case::LASTING.into_iter().filter(|&case| case != Case::Silent) {
        for fleet in Fleet::ALL {
            expect(case, fleet, Setup::Whole, |one| one.errors == 0.0 && one.attempts <= 1.3);
        }
    }
}

#[test]
fn retries_do_not_overload_the_others() {
    for fleet in Fleet::ALL {
        expect_soon(Case::Failing, fleet, Setup::Whole, 300);
        expect_soon(Case::LongFailing, fleet, Setup::Whole, 25_000);
    }
}

#[test]
fn an_agent_that_is_well_again_gets_its_share_back() {
    for case in Case::PASSING {
        for fleet in Fleet::ALL {
            expect(case, fleet, Setup::Whole, |one| one.late_share > 12.0 && one.late_share < 28.0);
        }
    }
}

#[test]
fn calls_that_try_whether_it_is_well_do_not_make_it_ill_again() {
    expect_soon(Case::FailingForAWhile, Fleet::Busy, Setup::Whole, 300);
    expect_soon(Case::FailingForAWhile, Fleet::Quiet, Setup::Whole, 300);
}
