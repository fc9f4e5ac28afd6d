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
use crate::store::change::{Beat, Beats, HERE, Snapshot, Stored};
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
                    flushes.entry(replica).or_default().push(Flush::decode(row.value).unwrap_or_default());
                }
                _ => {}
            }
        }
        present.iter().for_each(|replica| self.peers.arrived(*replica, Some(began)));
        for (replica, flushes) in flushes {
            let (number, newest) = if self.peers.is_mine(replica) {
                (Some(HERE), u64::try_from(self.moment().uptime.as_millis()).unwrap_or(u64::MAX))
            } else {
                let number = self.peers.number(replica).filter(|_| present.contains(&replica));
                (number, flushes.iter().map(|flush| flush.uptime).max().unwrap_or_default())
            };
            if number.is_none() {
                self.replica.bury(replica, began);
            }
            for flush in flushes {
                let since = Duration::from_millis(newest.saturating_sub(flush.uptime)) + began.elapsed();
                for (id, beat) in flush.unpack(Reading { wall: wall(), since, replica: number }) {
                    match beats.get_mut(&id) {
                        Some(known) => merge(known, beat),
                        None => drop(beats.insert(id, beat)),
                    }
                }
            }
        }
        present
    }
}

/// Two replicas heard an agent, or one at different times: what was said later counts. How long it has been silent is
/// known of those who are there; it is only when a replica is gone that heard it later than those that it is not known.
fn merge(known: &mut Beat, other: Beat) {
    let is_later = match (known.via, other.via) {
        _ if known.life != other.life => other.life > known.life,
        (Some(known), Some(other)) => other.ago < known.ago,
        _ => other.at > known.at,
    };
    let (later, earlier) = if is_later { (other, known.clone()) } else { (known.clone(), other) };
    *known = later.after(Some(&earlier));
}
