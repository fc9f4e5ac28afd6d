//! What every engine promises.

use std::sync::Arc;

use mesh_api::health::Reported;
use mesh_registry::store::change::{Beat, Beats, Change, Changed, Event};
use mesh_registry::store::error::CommitError;

use super::{Engines, beat, put, revisions, snapshot};

#[tokio::test]
async fn a_follower_gets_a_snapshot_and_then_every_change_in_order() {
    for store in &Engines::open().await.stores {
        let early = store.commit(put("early", None), 0).await.unwrap();
        let mut changes = store.changes().await.unwrap();
        let opening = snapshot(&mut changes).await;
        assert_eq!((opening.revision, opening.agents.len()), (early, 1), "{store:?}");
        let first = store.commit(put("a", None), 0).await.unwrap();
        let second = store.commit(put("a", Some(first)), first).await.unwrap();
        let third = store.commit(Change::Remove("a".into()), second).await.unwrap();
        assert!(early < first && first < second && second < third);
        assert_eq!(revisions(&mut changes, 3).await, [first, second, third]);
    }
}

#[tokio::test]
async fn a_life_begins_with_its_own_revision_and_keeps_it() {
    for store in &Engines::open().await.stores {
        store.commit(put("other", None), 0).await.unwrap();
        let born = store.commit(put("a", None), 0).await.unwrap();
        let changed = store.commit(put("a", Some(born)), born).await.unwrap();
        let agents = snapshot(&mut store.changes().await.unwrap()).await.agents;
        let a = agents.iter().find(|stored| &*stored.id == "a").unwrap();
        assert_eq!((a.incarnation, a.revision), (born, changed));
    }
}

#[tokio::test]
async fn a_writer_that_knows_an_old_revision_is_told_of_the_conflict() {
    for store in &Engines::open().await.stores {
        let known = store.commit(put("a", None), 0).await.unwrap();
        let other = known + 7;
        for (change, expected) in
            [(put("a", None), 0), (put("b", None), other), (Change::Remove("a".into()), other)]
        {
            let fault = store.commit(change, expected).await.unwrap_err();
            assert!(matches!(fault, CommitError::Conflict { at } if at == known), "{fault:?}");
        }
        assert_eq!(store.trouble(), None);
    }
}

#[tokio::test]
async fn of_many_writers_at_once_exactly_one_wins() {
    for store in &Engines::open().await.stores {
        let writers = (0..50).map(|_| store.commit(put("a", None), 0));
        let results = futures_util::future::join_all(writers).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{store:?}");
    }
}

#[tokio::test]
async fn many_changes_at_once_are_told_in_the_order_of_their_revisions() {
    for store in &Engines::open().await.stores {
        let mut changes = store.changes().await.unwrap();
        snapshot(&mut changes).await;
        let names = (0..300).map(|i| format!("agent-{i}")).collect::<Vec<_>>();
        let writers = names.iter().map(|id| store.commit(put(id, None), 0));
        let results = futures_util::future::join_all(writers).await;
        let mut given = results.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 300, "each has a revision of its own");
        assert_eq!(revisions(&mut changes, 300).await, given);
    }
}

#[tokio::test]
async fn flushed_heartbeats_are_in_the_next_snapshot() {
    for store in &Engines::open().await.stores {
        let life = store.commit(put("a", None), 0).await.unwrap();
        let first = beat(1_000, life, Reported::Healthy);
        // What it said holds until it says something else.
        let second = Beat { said: None, ..beat(2_000, life, Reported::Draining) };
        for beat in [first, second] {
            store.flush(Arc::new(Beats::from([("a".to_owned(), beat)])), 0).await.unwrap();
        }
        let kept = snapshot(&mut store.changes().await.unwrap()).await.beats.remove("a").unwrap();
        let said = kept.said.as_deref();
        assert_eq!(
            (kept.life, kept.reported, said),
            (life, Reported::Draining, Some(r#"{"load":3}"#)),
            "{store:?}"
        );
    }
}

#[tokio::test]
async fn a_sum_stands_for_all_flushes_before_it() {
    for store in &Engines::open().await.stores {
        let life = store.commit(put("a", None), 0).await.unwrap();
        let beats = |reported| Arc::new(Beats::from([("a".to_owned(), beat(1_000, life, reported))]));
        store.flush(beats(Reported::Healthy), 0).await.unwrap();
        store.sum_up(beats(Reported::Healthy)).await.unwrap();
        let kept = snapshot(&mut store.changes().await.unwrap()).await.beats;
        assert_eq!(kept["a"].life, life, "{store:?}");
        // Engines that are told all of it keep what it says in place of what they were told before.
        if store.pulse().is_some() {
            store.sum_up(beats(Reported::Draining)).await.unwrap();
            store.sum_up(Arc::new(Beats::new())).await.unwrap();
            let kept = snapshot(&mut store.changes().await.unwrap()).await.beats;
            assert_eq!(kept.len(), 0, "the last sum is what there is");
        }
    }
}

#[tokio::test]
async fn what_is_noticed_gets_revisions_of_its_own() {
    for store in &Engines::open().await.stores {
        let mut changes = store.changes().await.unwrap();
        snapshot(&mut changes).await;
        let first = store.commit(put("a", None), 0).await.unwrap();
        let reached = store.flush(Arc::new(Beats::new()), 3).await.unwrap();
        let last = store.commit(put("b", None), 0).await.unwrap();
        assert!(first + 3 <= reached && reached < last, "{store:?}: {first} {reached} {last}");
        let mut told = Vec::new();
        while told.len() < 3 {
            told.extend(changes.next().await.into_iter().map(|event| match event {
                Event::Changed(Changed::SetAside { revision }) => (revision, true),
                Event::Changed(changed) => (changed.revision(), false),
                Event::Snapshot(_) => panic!("a snapshot without a gap"),
            }));
        }
        assert_eq!(told, [(first, false), (reached, true), (last, false)], "{store:?}");
    }
}
