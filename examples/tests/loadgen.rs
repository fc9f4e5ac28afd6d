//! The load tool against the real registry: what it registers is there, what it asks is answered, and its floor sends
//! the same bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;
use std::time::Duration;

use axum::http::HeaderValue;
use mesh_examples::loadgen::drive::Driver;
use mesh_examples::loadgen::fill::fill;
use mesh_examples::loadgen::fleet::Fleet;
use mesh_examples::loadgen::floor::Floor;
use mesh_examples::loadgen::question::Class;
use mesh_examples::loadgen::server::Server;
use mesh_examples::loadgen::survey::Survey;
use mesh_examples::loadgen::upkeep::{Rates, Upkeep};
use mesh_examples::loadgen::wire::{Answer, Base, Connection};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

const FLEET: Fleet = Fleet { agents: 50, capabilities: 3, seed: 1, distinct: false };
const LIMIT: usize = 5;
const CONNECTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

async fn filled(fleet: Fleet) -> Server {
    let program = Path::new(env!("CARGO_BIN_EXE_registry-under-load"));
    let registry = Server::registry(program, "memory:", &[]).await.unwrap();
    timeout(PATIENCE, fill(&registry.base, fleet, CONNECTIONS)).await.unwrap().unwrap();
    registry
}

/// Type and body of an answer, without the moment at which it was made.
fn content(answer: &Answer) -> (HeaderValue, Value) {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["timestamp"].take();
    (answer.headers["content-type"].clone(), body)
}

async fn get(base: &Base, target: &str) -> Value {
    let answer = Connection::to(base).fetch(&target.parse().unwrap()).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_fleet_is_registered_and_healthy() {
    let registry = filled(FLEET).await;
    let healthy = get(&registry.base, "/agents?status=healthy").await;
    assert_eq!(healthy["total"], FLEET.agents);
    let agent = get(&registry.base, &format!("/agents/{}", FLEET.id(7))).await;
    assert_eq!(agent["capabilities"][2]["name"], FLEET.name(7, 2));
}

#[tokio::test]
async fn every_class_is_answered_without_an_error_in_both_kinds_of_loop() {
    let registry = filled(FLEET).await;
    for class in Class::PLAIN {
        let questions = class.questions(&registry.base, FLEET, LIMIT).await.unwrap();
        let mut driver = Driver::connect(&registry.base, questions, CONNECTIONS).await.unwrap();
        let closed = driver.closed(Duration::from_millis(50)).await.unwrap();
        assert!(closed.answered > 0 && closed.bytes > 0, "{class:?}: {closed:?}");
        let open = driver.open(200.0, Duration::from_millis(100)).await.unwrap();
        assert_eq!((closed.errors, open.errors, open.answered), (0, 0, 20), "{class:?}: {open:?}");
    }
}

#[tokio::test]
async fn a_fuzzy_question_finds_names_that_are_distinct() {
    let fleet = Fleet { distinct: true, ..FLEET };
    let registry = filled(fleet).await;
    let questions = Class::Fuzzy.questions(&registry.base, fleet, LIMIT).await.unwrap();
    let answer = get(&registry.base, &questions[0].target.to_string()).await;
    assert!(answer["capabilities"][0]["score"].as_f64().is_some_and(|score| score > 0.0), "{answer}");
}

#[tokio::test]
async fn what_nobody_registered_cannot_be_asked_for() {
    let registry = filled(FLEET).await;
    let other = Fleet { distinct: true, ..FLEET };
    let fault = Class::Exact.questions(&registry.base, other, LIMIT).await.unwrap_err();
    assert!(fault.to_string().contains("find nothing"), "{fault}");
}

#[tokio::test]
async fn the_floor_sends_the_same_bytes_and_nothing_else() {
    let registry = filled(FLEET).await;
    // That an agent has become healthy counts as a change as well, and is counted behind its heartbeat.
    let all_counted = async {
        while get(&registry.base, "/agents?limit=1").await["resource_version"] != 2 * FLEET.agents {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all_counted).await.unwrap();
    let questions = Class::Semver.questions(&registry.base, FLEET, LIMIT).await.unwrap();
    let mut floor = Floor::default();
    floor.learn(&registry.base, &questions).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Base::from(listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, floor.router()).into_future());
    let (mut there, mut here) = (Connection::to(&registry.base), Connection::to(&base));
    for question in &questions {
        let real = there.fetch(&question.target).await.unwrap();
        let same = here.fetch(&question.target).await.unwrap();
        assert_eq!(content(&real), content(&same), "{}", question.target);
    }
    assert!(here.fetch(&"/capabilities?name=other".parse().unwrap()).await.is_err());
    serving.abort();
}

#[tokio::test]
async fn upkeep_arrives_at_its_rate_and_counts_only_what_was_taken() {
    let registry = filled(FLEET).await;
    let before = get(&registry.base, "/metrics").await;
    let rates = Rates { heartbeats_per_second: 500, registrations_per_second: 50 };
    let upkeep = Upkeep::start(&registry.base, FLEET, rates).unwrap();
    let enough = async {
        while upkeep.heartbeats() < 250 || upkeep.registrations() < 25 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, enough).await.unwrap();
    let (heartbeats, registrations) = (upkeep.heartbeats(), upkeep.registrations());
    upkeep.stop().unwrap();
    let after = get(&registry.base, "/metrics").await;
    let grown = |key: &str| after[key].as_u64().unwrap() - before[key].as_u64().unwrap();
    assert!(grown("heartbeats_processed") >= heartbeats && grown("registrations_processed") >= registrations);
    assert_eq!(get(&registry.base, "/agents").await["total"], FLEET.agents);
}

#[tokio::test]
async fn a_survey_shows_a_row_for_each_class_and_what_the_server_cost() {
    let registry = filled(FLEET).await;
    let survey = Survey {
        base: registry.base.clone(),
        fleet: FLEET,
        classes: vec![Class::Exact, Class::Label],
        limit: LIMIT,
        connections: CONNECTIONS,
        rate: None,
        time: Duration::from_millis(100),
        rates: Rates::default(),
        process: Some(registry.process),
    };
    let lines = survey.take().await.unwrap();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[1].starts_with("exact ") && lines[2].starts_with("label "), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains('?')), "{lines:#?}");
}
