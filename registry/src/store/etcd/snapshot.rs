//! Everything that etcd holds at one revision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::beats::Flush;
use super::layout::{self, Keys, Place};
use super::peers::Lost;
use super::session::Session;
use super::wire::{KeyValue, RangeRequest};
use super::write::wall;
use crate::store::change::{Beat, Beats, Snapshot, Stored};
use crate::store::error::OpenError;

/// How large a page of a snapshot is meant to be, in bytes; and how many keys the first one has, and any one at most.
const PAGE: usize = 4 * 1024 * 1024;
const FIRST_PAGE: usize = 256;
const LARGEST_PAGE: usize = 8_192;
/// How far clocks may be apart when an agent was heard by a replica that is gone and by one that is not.
const CLOCKS_APART: i64 = 60_000;

/// A snapshot, and what about it is not in it.
pub(super) struct Seen {
    pub(super) snapshot: Snapshot,
    /// etcd's revision.
    pub(super) revision: i64,
    /// Registrations that cannot be read.
    pub(super) unreadable: Vec<OpenError>,
    /// Who has gone since the last snapshot.
    pub(super) lost: Vec<Lost>,
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
            lost: Vec::new(),
        };
        for row in &rows {
            match session.stored(row) {
                Ok(stored) => seen.snapshot.agents.push(stored),
                Err(fault) => seen.unreadable.push(fault),
            }
        }
        drop(rows);
        seen.lost = session.hear_all(heard, &mut seen.snapshot.beats);
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
        let page = session.members.call(request).await?;
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

    /// Who was heard, by whom and how long ago. What replicas wrote that are gone is to be deleted in time. Returns who
    /// has gone since the last time.
    fn hear_all(&self, rows: Vec<KeyValue>, beats: &mut Beats) -> Vec<Lost> {
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
        let (now, wall) = (Instant::now(), wall());
        let lost = self.peers.present(&present, now);
        // First those who are gone, by their own clocks; whoever is there knows better, unless it may have heard less.
        flushes.into_iter().for_each(|(replica, flushes)| {
            let number = self.peers.number(replica);
            if number.is_none() && !self.peers.is_mine(replica) {
                self.replica.bury(replica, now);
            }
            let newest = flushes.iter().map(|flush| flush.at).max().unwrap_or_default();
            for flush in flushes {
                let since = Duration::from_millis(u64::try_from(newest - flush.at).unwrap_or(0));
                for (id, beat) in flush.unpack(wall, since, number) {
                    match beats.get_mut(&id) {
                        Some(known) if is_better(known, &beat) => {}
                        Some(known) => *known = beat,
                        None => drop(beats.insert(id, beat)),
                    }
                }
            }
        });
        lost
    }
}

/// Whether what is known of an agent tells more than `other`.
fn is_better(known: &Beat, other: &Beat) -> bool {
    if known.life != other.life {
        return known.life > other.life;
    }
    match (known.via, other.via) {
        (Some(known), Some(other)) => known.ago <= other.ago,
        (Some(_), None) => known.at > other.at + CLOCKS_APART,
        (None, Some(_)) => known.at + CLOCKS_APART >= other.at,
        (None, None) => known.at >= other.at,
    }
}
