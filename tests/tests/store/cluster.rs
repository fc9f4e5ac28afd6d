//! What only etcd can do: several stores that are one.

use std::sync::Arc;
use std::time::Duration;

use mesh_api::health::Reported;
use mesh_registry::store::change::{Beats, Change, Changed, Event, HERE};
use mesh_registry::store::error::CommitError;
use mesh_registry::store::follower::Changes;
use mesh_registry::store::{self, Store};
use mesh_tests::cutter::Cutter;
use mesh_tests::etcd::{Etcd, store_url};

use super::{PATIENCE, beat, open, put, put_large, revisions, snapshot};

/// Two replicas of one store, and what each is told.
async fn two(etcd: &Etcd) -> ([Store; 2], [Changes; 2]) {
    let stores = [open(&etcd.url()).await, open(&etcd.url()).await];
    let mut changes = [stores[0].changes().await.unwrap(), stores[1].changes().await.unwrap()];
    for changes in &mut changes {
        snapshot(changes).await;
    }
    (stores, changes)
}

/// The first event for which `find` finds something.
async fn told<T>(changes: &mut Changes, find: impl Fn(Event) -> Option<T>) -> T {
    let telling = async {
        loop {
            let events = changes.next().await;
            assert!(!events.is_empty(), "the stream ended");
            if let Some(found) = events.into_iter().find_map(&find) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, telling).await.expect("told in time")
}

#[tokio::test]
async fn what_one_writes_the_other_is_told_and_neither_overwrites_the_other() {
    let etcd = Etcd::start(1).await;
    let ([one, other], [mut of_one, mut of_other]) = two(&etcd).await;
    let first = one.commit(put("a", None), 0).await.unwrap();
    assert_eq!(revisions(&mut of_other, 1).await, [first]);
    let fault = other.commit(put("a", None), 0).await.unwrap_err();
    assert!(matches!(fault, CommitError::Conflict { at } if at == first), "{fault:?}");
    let second = other.commit(Change::Remove("a".into()), first).await.unwrap();
    assert_eq!(revisions(&mut of_one, 2).await, [first, second]);
    let fault = one.commit(put("a", Some(first)), first).await.unwrap_err();
    assert!(matches!(fault, CommitError::Conflict { at } if at >= second), "{fault:?}");
}

#[tokio::test]
async fn whom_one_hears_the_other_is_told_with_times_that_no_clock_is_needed_for() {
    let etcd = Etcd::start(1).await;
    let ([one, _other], [_, mut of_other]) = two(&etcd).await;
    let life = one.commit(put("a", None), 0).await.unwrap();
    let beats = Beats::from([("a".to_owned(), beat(0, life, Reported::Draining))]);
    let reached = one.flush(Arc::new(beats), 2).await.unwrap();
    let (heard, revision) = told(&mut of_other, |event| match event {
        Event::Changed(Changed::Heard { heard, revision }) if !heard.is_empty() => Some((heard, revision)),
        _ => None,
    })
    .await;
    // What the first one announces is its own business, and comes before whatever is written next.
    assert_eq!((heard[0].0.as_str(), revision), ("a", reached - 2));
    let via = heard[0].1.via.unwrap();
    assert!(via.replica != HERE && via.ago > Duration::from_secs(3_600 * 24 * 365), "{via:?}");
}

#[tokio::test]
async fn who_leaves_is_lost_at_once_and_who_is_ended_is_missed() {
    let etcd = Etcd::start(1).await;
    let ([one, other], [mut of_one, _]) = two(&etcd).await;
    other.flush(Arc::new(Beats::new()), 0).await.unwrap();
    let lost = |event| matches!(event, Event::Changed(Changed::Lost { .. })).then_some(());
    other.leave().await;
    told(&mut of_one, lost).await;
    let third = open(&etcd.url()).await;
    third.flush(Arc::new(Beats::new()), 0).await.unwrap();
    drop(third);
    told(&mut of_one, lost).await;
    drop(one);
}

#[tokio::test]
async fn after_a_compaction_there_is_another_snapshot() {
    let etcd = Etcd::start(1).await;
    let line = Cutter::to(etcd.clients()[0]).await;
    let store = open(&store_url([line.address])).await;
    let mut changes = store.changes().await.unwrap();
    snapshot(&mut changes).await;
    line.cut();
    let other = open(&etcd.url()).await;
    let missed = other.commit(put("missed", None), 0).await.unwrap();
    etcd.compact(etcd.revision().await).await;
    line.mend();
    let snapshot = told(&mut changes, |event| match event {
        Event::Snapshot(snapshot) => Some(snapshot),
        Event::Changed(Changed::Put(_)) => panic!("a change that is compacted away"),
        Event::Changed(_) => None,
    })
    .await;
    assert_eq!(snapshot.agents.iter().map(|agent| agent.revision).collect::<Vec<_>>(), [missed]);
    let next = other.commit(put("next", None), 0).await.unwrap();
    assert_eq!(revisions(&mut changes, 1).await, [next]);
}

#[tokio::test]
async fn more_than_fits_one_message_comes_in_pieces_and_whole() {
    const LARGE: usize = 500_000;
    let etcd = Etcd::start(1).await;
    let line = Cutter::to(etcd.clients()[0]).await;
    let store = open(&store_url([line.address])).await;
    let mut changes = store.changes().await.unwrap();
    snapshot(&mut changes).await;
    let other = open(&etcd.url()).await;
    line.cut();
    let mut written = Vec::new();
    for number in 0..30 {
        written.push(other.commit(put_large(&format!("large-{number}"), None, LARGE), 0).await.unwrap());
    }
    line.mend();
    assert_eq!(revisions(&mut changes, 30).await, written);
    let agents = snapshot(&mut store.changes().await.unwrap()).await.agents;
    assert!(agents.len() == 30 && agents.iter().all(|agent| agent.document.len() > LARGE));
}

#[tokio::test]
async fn a_member_that_the_network_swallows_holds_nothing_up_for_long() {
    let etcd = Etcd::start(3).await;
    let mut ways = Vec::new();
    for member in etcd.clients() {
        ways.push(Cutter::to(*member).await);
    }
    let store = open(&store_url(ways.iter().map(|way| way.address))).await;
    let mut changes = store.changes().await.unwrap();
    snapshot(&mut changes).await;
    let mut slowest = Duration::ZERO;
    for (turn, way) in ways.iter().enumerate() {
        // One of the three turns hits the member that is asked at the time.
        way.silence();
        for number in 0..3 {
            let began = tokio::time::Instant::now();
            let written = store.commit(put(&format!("agent-{turn}-{number}"), None), 0).await.unwrap();
            assert_eq!(revisions(&mut changes, 1).await, [written]);
            slowest = slowest.max(began.elapsed());
        }
        way.mend();
    }
    println!("a member that is silent: the slowest registration took {slowest:?} to be told");
}

#[tokio::test]
async fn an_etcd_that_is_set_back_is_read_anew() {
    let mut etcd = Etcd::start(1).await;
    let store = open(&etcd.url()).await;
    let kept = store.commit(put("kept", None), 0).await.unwrap();
    etcd.kill(0).await;
    etcd.keep_copy(0).await;
    etcd.run(0);
    etcd.recovers().await;
    let lost = store.commit(put("lost", None), 0).await.unwrap();
    let mut changes = store.changes().await.unwrap();
    assert_eq!(snapshot(&mut changes).await.agents.len(), 2);
    etcd.kill(0).await;
    etcd.back_to_copy(0).await;
    etcd.run(0);
    etcd.recovers().await;
    // A number that was given before to something that is lost.
    let again = store.commit(put("again", None), 0).await.unwrap();
    assert!(again <= lost, "{again} was not given before");
    store.flush(Arc::new(Beats::new()), 0).await.unwrap();
    let snapshot = told(&mut changes, |event| match event {
        Event::Snapshot(snapshot) => Some(snapshot),
        Event::Changed(_) => None,
    })
    .await;
    let known = snapshot.agents.iter().map(|agent| (&*agent.id, agent.revision)).collect::<Vec<_>>();
    assert_eq!(known, [("again", again), ("kept", kept)]);
}

#[tokio::test]
async fn what_one_store_held_can_be_given_to_another() {
    let etcd = Etcd::start(1).await;
    let directory = tempfile::tempdir().unwrap();
    let file = format!("file:{}", directory.path().display()).parse().unwrap();
    let before = {
        let store = open(&format!("file:{}", directory.path().display())).await;
        // More than fit into one transaction.
        for number in 0..250 {
            let id = format!("agent-{number}");
            let life = store.commit(put(&id, None), 0).await.unwrap();
            let beats = Beats::from([(id, beat(1_000, life, Reported::Draining))]);
            store.flush(Arc::new(beats), 0).await.unwrap();
        }
        store::read(&file).await.unwrap()
    };
    let url = etcd.url().parse().unwrap();
    assert!(store::fill(&url, &before).await.unwrap());
    assert!(!store::fill(&url, &before).await.unwrap(), "only what is empty is filled");
    let after = store::read(&url).await.unwrap();
    assert_eq!((after.agents.len(), after.beats.len()), (250, 250));
    for stored in after.agents {
        let beat = &after.beats[&*stored.id];
        assert_eq!((beat.life, beat.reported), (stored.incarnation, Reported::Draining));
    }
}
