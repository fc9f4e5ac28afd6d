//! Everything that etcd holds at one revision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::beats::{Flush, Reading};
use super::layout::{self, Keys, Place};
use super::members::is_outage;
use super::session::{Session, wall};
use super::wire::{KeyValue, RangeRequest};
use crate::store::change::{self, Beat, Beats, HERE, Snapshot, Stored};
use crate::store::error::OpenError;

/// How large a page of a snapshot is meant to be, in bytes; and how many keys the first one has, and any one at most.
const PAGE: usize = 4 * 1024 * 1024;
const FIRST_PAGE: usize = 256;
const LARGEST_PAGE: usize = 8_192;
/// Time for a snapshot of millions of agents.
pub(super) const SNAPSHOT: Duration = Duration::from_secs(600);
/// Time for a page, and pause before one is asked for again.
const PAGE_TIME: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// A snapshot, and what about it is not in it.
pub(super) struct Seen {
    pub(super) snapshot: Snapshot,
    /// etcd's revision.
    pub(super) revision: i64,
    /// Registrations that cannot be read.
    pub(super) unreadable: Vec<OpenError>,
    /// Who is there.
    pub(super) present: BTreeSet<i64>,
}

/// A snapshot in which everything can be read, and etcd's revision.
///
/// # Errors
/// Names the first registration that cannot be read.
pub(super) fn sound(seen: Seen) -> Result<(Snapshot, i64), OpenError> {
    match seen.unreadable.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok((seen.snapshot, seen.revision)),
    }
}

/// Everything at one revision.
///
/// # Errors
/// What etcd says against it.
pub(super) async fn snapshot(session: &Session) -> Result<Seen, OpenError> {
    let unreachable = |fault| session.refused(fault);
    loop {
        let began = Instant::now();
        let (revision, rows) = range(session, layout::agents(), 0).await.map_err(unreachable)?;
        let heard = match range(session, layout::heard(), revision).await {
            // Compacted meanwhile: this has taken minutes.
            Err(fault) if fault.code() == Code::OutOfRange => continue,
            heard => heard.map_err(unreachable)?.1,
        };
        let mut seen = Seen {
            snapshot: Snapshot { revision: layout::revision(revision), ..Snapshot::default() },
            revision,
            unreadable: Vec::new(),
            present: BTreeSet::new(),
        };
        for row in &rows {
            match session.stored(row) {
                Ok(stored) => seen.snapshot.agents.push(stored),
                Err(fault) => seen.unreadable.push(fault),
            }
        }
        drop(rows);
        seen.present = session.hear_all(heard, began, &mut seen.snapshot.beats);
        return Ok(seen);
    }
}

/// All that lies under `keys`, in pages, at `revision` or (0) at the newest one, which is returned.
async fn range(
    session: &Session,
    (mut key, range_end): Keys,
    mut revision: i64,
) -> Result<(i64, Vec<KeyValue>), Status> {
    let (mut all, mut limit) = (Vec::<KeyValue>::new(), FIRST_PAGE);
    loop {
        let request = RangeRequest {
            key: key.clone(),
            range_end: range_end.clone(),
            limit: limit as i64,
            revision,
            keys_only: false,
        };
        let page = match session.members.attempt(request, PAGE_TIME).await {
            Err(fault) if is_outage(&fault) => {
                // It may have been too much.
                limit = (limit / 2).max(1);
                sleep(PAUSE).await;
                continue;
            }
            page => page?,
        };
        if revision == 0 {
            revision = page.header.map_or(0, |header| header.revision);
        }
        let size = page.kvs.iter().map(|kv| kv.value.len() + kv.key.len()).sum::<usize>();
        if let Some(last) = page.kvs.last() {
            key = [&last.key[..], b"\0"].concat();
            limit = (PAGE / (size / page.kvs.len()).max(1)).clamp(1, LARGEST_PAGE);
        }
        let is_last = !page.more;
        all.extend(page.kvs);
        if is_last {
            return Ok((revision, all));
        }
    }
}

impl Session {
    fn stored(&self, row: &KeyValue) -> Result<Arc<Stored>, OpenError> {
        let key = || String::from_utf8_lossy(&row.key).into_owned();
        let bad = |source| OpenError::BadKey { store: self.name.clone(), key: key(), source };
        let Some(Place::Agent(id)) = layout::place(&row.key) else {
            return Err(bad("its name is no agent's".into()));
        };
        layout::read(id, &row.value, row.mod_revision).map_err(|fault| bad(fault.into()))
    }

    /// Who was heard, by whom and how long ago, of all that was written before `began`. What replicas wrote that are gone
    /// is to be deleted in time. Returns who is there.
    fn hear_all(&self, rows: Vec<KeyValue>, began: Instant, beats: &mut Beats) -> BTreeSet<i64> {
        let (mut present, mut flushes) = (BTreeSet::new(), BTreeMap::<_, Vec<_>>::new());
        for row in rows {
            match layout::place(&row.key) {
                Some(Place::Replica(replica)) => drop(present.insert(replica)),
                Some(Place::Beats(replica, _)) => {
                    // What this process wrote under an earlier name is its own as well.
                    let replica = if self.peers.is_mine(replica) { self.replica.lease() } else { replica };
                    flushes.entry(replica).or_default().push(Flush::decode(row.value).unwrap_or_default());
                }
                _ => {}
            }
        }
        present.iter().for_each(|replica| self.peers.arrived(*replica, Some(began)));
        for (replica, mut flushes) in flushes {
            flushes.sort_by_key(|flush| flush.uptime);
            let (number, newest) = if self.peers.is_mine(replica) {
                (Some(HERE), u64::try_from(self.moment().uptime.as_millis()).unwrap_or(u64::MAX))
            } else {
                let number = self.peers.number(replica).filter(|_| present.contains(&replica));
                (number, flushes.last().map_or(0, |flush| flush.uptime))
            };
            if number.is_none() {
                self.replica.bury(replica, began);
            }
            // What comes next may come in a burst, and is measured by this one.
            self.peers.lateness(replica, Duration::from_millis(newest), began);
            // First what one replica said, in its own order: a flush without metadata goes on from its own ones before.
            let mut told = Beats::new();
            for flush in flushes {
                let since = Duration::from_millis(newest.saturating_sub(flush.uptime)) + began.elapsed();
                change::add(&mut told, flush.unpack(Reading { wall: wall(), since, replica: number }));
            }
            for (id, beat) in told {
                match beats.get_mut(&id) {
                    Some(known) => merge(known, beat),
                    None => drop(beats.insert(id, beat)),
                }
            }
        }
        present
    }
}

/// Two replicas heard an agent: what was said later counts. How long it has been silent is known of those who are there;
/// it is only when a replica is gone that heard it later than those that it is not known.
fn merge(known: &mut Beat, other: Beat) {
    let is_later = match (known.via, other.via) {
        _ if known.life != other.life => other.life > known.life,
        (Some(known), Some(other)) => other.heard < known.heard,
        _ => other.at > known.at,
    };
    let (later, earlier) = if is_later { (other, known.clone()) } else { (known.clone(), other) };
    *known = later.after(Some(&earlier));
}

#[cfg(test)]
mod tests {
    use mesh_api::health::Reported;

    use super::super::beats::{self, Moment};
    use super::*;
    use crate::store::change::Via;
    use crate::store::url::StoreUrl;

    const WALL: i64 = 1_000_000;

    fn session() -> Session {
        let StoreUrl::Etcd(endpoints) = "etcd://127.0.0.1:1".parse().unwrap() else { unreachable!() };
        Session::new(&endpoints).unwrap()
    }

    /// What a replica writes at second `second`: that it heard an agent at second `heard` say that.
    fn row(key: Vec<u8>, second: u64, heard: Option<(u64, Option<&str>)>) -> KeyValue {
        let (at, now) = (|second: u64| WALL + 1_000 * second as i64, Duration::from_secs(second));
        let beat = |(heard, said): (u64, Option<&str>)| {
            let ago = now - Duration::from_secs(heard);
            let via = Some(Via { replica: HERE, ago, heard: ago });
            let beat =
                Beat { at: at(heard), life: 1, reported: Reported::Healthy, said: said.map(Into::into), via };
            ("a".to_owned(), beat)
        };
        let beats = heard.into_iter().map(beat).collect();
        let value = beats::pack(&beats, Moment { wall: at(second), uptime: now }, 0, 1).remove(0).1;
        KeyValue { key: key.into(), value, ..KeyValue::default() }
    }

    #[tokio::test]
    async fn a_heartbeat_that_repeats_no_metadata_goes_on_from_those_of_its_own_replica() {
        let (old, new) = (Some(r#"{"k":1}"#), Some(r#"{"k":2}"#));
        // Replica 9 hears the agent say something new, sums up and hears it again. Replica 7 heard it before all of that, or
        // so late in between that 9 did not know of it yet.
        for heard in [0, 7] {
            let rows = vec![
                row(layout::flush(7, 0), heard, Some((heard, old))),
                row(layout::flush(7, 2), 12, None),
                row(layout::flush(9, 2), 10, Some((10, None))),
                row(layout::flush(9, 3), 12, None),
                KeyValue { key: layout::replica(7).into(), ..KeyValue::default() },
                KeyValue { key: layout::replica(9).into(), ..KeyValue::default() },
                row(layout::sum(9, 1), 6, Some((5, new))),
            ];
            let (session, mut beats) = (session(), Beats::new());
            assert_eq!(session.hear_all(rows, Instant::now(), &mut beats), BTreeSet::from([7, 9]));
            let (beat, via) = (&beats["a"], beats["a"].via.unwrap());
            assert_eq!((beat.said.as_deref(), Some(via.replica)), (new, session.peers.number(9)));
            assert!(via.ago >= Duration::from_secs(2), "{via:?}");
        }
    }

    #[test]
    fn what_was_heard_later_counts_however_anew_its_silence_is() {
        let beat = |said: &str, [ago, heard]: [u64; 2]| {
            let [ago, heard] = [ago, heard].map(Duration::from_secs);
            let via = Some(Via { replica: 3, ago, heard });
            Beat { at: WALL, life: 1, reported: Reported::Healthy, said: Some(said.into()), via }
        };
        // The first is from one that has taken over meanwhile, or has restarted.
        let (mut known, other) = (beat("old", [1, 30]), beat("new", [20, 20]));
        merge(&mut known, other);
        assert_eq!(known, beat("new", [20, 20]));
    }

    #[tokio::test]
    async fn the_first_flush_behind_a_snapshot_is_measured_by_those_in_it() {
        let presence = KeyValue { key: layout::replica(7).into(), ..KeyValue::default() };
        let (session, began) = (session(), Instant::now());
        session.hear_all(vec![row(layout::flush(7, 0), 12, None), presence], began, &mut Beats::new());
        // It was made a second later, and was under way for half a minute.
        let [uptime, now, late] = [13, 31, 30].map(Duration::from_secs);
        assert_eq!(session.peers.lateness(7, uptime, began + now), late);
    }

    #[tokio::test]
    async fn what_this_process_said_under_an_earlier_name_is_its_own() {
        let session = session();
        [5, 9].into_iter().for_each(|lease| session.peers.is_me(lease));
        session.replica.rename(5, Instant::now());
        let (own, other) = (Some(r#"{"k":2}"#), Some(r#"{"k":1}"#));
        let rows = vec![
            row(layout::flush(5, 0), 10, Some((10, None))),
            row(layout::flush(3, 0), 0, Some((0, other))),
            row(layout::flush(3, 1), 12, None),
            row(layout::flush(9, 0), 5, Some((5, own))),
            KeyValue { key: layout::replica(3).into(), ..KeyValue::default() },
        ];
        let mut beats = Beats::new();
        session.hear_all(rows, Instant::now(), &mut beats);
        assert_eq!((beats["a"].said.as_deref(), beats["a"].via.map(|via| via.replica)), (own, Some(HERE)));
    }
}
