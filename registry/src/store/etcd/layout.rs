//! Where things lie in etcd, and how its revisions are ours.
//!
//! | key | value |
//! |---|---|
//! | `/mesh/v1/agents/{id}` | a registration, as JSON |
//! | `/mesh/v1/beats/{replica}/{number}` | whom a replica heard since its flush before |
//! | `/mesh/v1/replicas/{replica}` | there for as long as the replica is, under its lease |
//! | `/mesh/v1/sums/{replica}/{number}` | all whom a replica heard last; its earlier beats are deleted then |
//!
//! A replica's name is its lease. What lies under the first three is watched, so that sums, which tell nobody who is
//! there anything new, are not sent around.
//!
//! etcd gives one revision to everything that a transaction changes. A flush may announce many changes of health, each of
//! which needs a revision of its own, so ours is etcd's times 4,096 and what is announced with it comes behind it. It
//! stays a whole number for JavaScript for 600 years of 100 changes a second.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::change::{Draft, Stored};

const AGENTS: &str = "/mesh/v1/agents/";
const BEATS: &str = "/mesh/v1/beats/";
const REPLICAS: &str = "/mesh/v1/replicas/";
const SUMS: &str = "/mesh/v1/sums/";

/// Bits of a revision that number what is announced with a flush.
const SHIFT: u32 = 12;
/// Most changes that can be announced with one flush.
pub(super) const MAX_ANNOUNCED: u64 = (1 << SHIFT) - 1;

/// What a key stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'k> {
    /// The registration of an agent.
    Agent(&'k str),
    /// A flush or a part of a sum of a replica, and its number.
    Beats(i64, u64),
    /// The presence of a replica.
    Replica(i64),
}

/// The keys from the first up to, and without, the second.
pub(super) type Keys = (Vec<u8>, Vec<u8>);

/// Where a registration lies.
pub(super) fn agent(id: &str) -> Vec<u8> {
    [AGENTS, id].concat().into_bytes()
}

/// All registrations.
pub(super) fn agents() -> Keys {
    (AGENTS.into(), end(AGENTS))
}

/// All flushes, replicas and sums.
pub(super) fn heard() -> Keys {
    (BEATS.into(), end(SUMS))
}

/// All that is watched.
pub(super) fn watched() -> Keys {
    (AGENTS.into(), end(REPLICAS))
}

/// Where a replica's presence lies.
pub(super) fn replica(replica: i64) -> Vec<u8> {
    format!("{REPLICAS}{replica:016x}").into_bytes()
}

/// Where flush number `number` of a replica lies.
pub(super) fn flush(replica: i64, number: u64) -> Vec<u8> {
    format!("{BEATS}{replica:016x}/{number:016x}").into_bytes()
}

/// Where part number `number` of a replica's sum lies.
pub(super) fn sum(replica: i64, number: u64) -> Vec<u8> {
    format!("{SUMS}{replica:016x}/{number:016x}").into_bytes()
}

/// What a replica wrote before `number`, in both places.
pub(super) fn before(replica: i64, number: u64) -> [Keys; 2] {
    [(flush(replica, 0), flush(replica, number)), (sum(replica, 0), sum(replica, number))]
}

/// All that a replica wrote.
pub(super) fn everything_of(replica: i64) -> [Keys; 2] {
    [BEATS, SUMS].map(|place| {
        let prefix = format!("{place}{replica:016x}/");
        let end = end(&prefix);
        (prefix.into_bytes(), end)
    })
}

/// What `key` stands for; `None` when it is none of ours.
pub(super) fn place(key: &[u8]) -> Option<Place<'_>> {
    let key = std::str::from_utf8(key).ok()?;
    let named = |name: &str| i64::from_str_radix(name, 16).ok();
    if let Some(id) = key.strip_prefix(AGENTS) {
        return Some(Place::Agent(id));
    }
    if let Some(name) = key.strip_prefix(REPLICAS) {
        return named(name).map(Place::Replica);
    }
    let rest = key.strip_prefix(BEATS).or_else(|| key.strip_prefix(SUMS))?;
    let (name, number) = rest.split_once('/')?;
    Some(Place::Beats(named(name)?, u64::from_str_radix(number, 16).ok()?))
}

/// The first key behind all that begin with `prefix`, which ends with a slash.
fn end(prefix: &str) -> Vec<u8> {
    [prefix.trim_end_matches('/').as_bytes(), b"0"].concat()
}

/// The revision of what was changed at etcd's `revision`.
pub(super) fn revision(revision: i64) -> u64 {
    revision.unsigned_abs() << SHIFT
}

/// etcd's revision of a record that has ours; a record that cannot be there has one that no key has.
pub(super) fn engine_revision(revision: u64) -> i64 {
    let is_of_a_record = revision & MAX_ANNOUNCED == 0;
    i64::try_from(revision >> SHIFT).ok().filter(|_| is_of_a_record).unwrap_or(i64::MAX)
}

/// A registration as it lies in etcd. Its revision is that of its key.
#[derive(Serialize, Deserialize)]
struct Row<'l> {
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    owner: Option<Cow<'l, str>>,
    /// Not there when the agent's life began with this registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    #[serde(borrow)]
    registration: &'l RawValue,
}

/// A registration as it is written.
///
/// # Errors
/// When its document is no JSON.
pub(super) fn write(draft: &Draft) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Row {
        created_at: draft.created_at,
        updated_at: draft.updated_at,
        owner: draft.owner.as_deref().map(Cow::Borrowed),
        incarnation: draft.incarnation,
        registration: serde_json::from_str(&draft.document)?,
    })
}

/// The registration of `id` that was written at etcd's `at`.
///
/// # Errors
/// When `value` is none of ours.
pub(super) fn read(id: &str, value: &[u8], at: i64) -> serde_json::Result<Arc<Stored>> {
    let row = serde_json::from_slice::<Row<'_>>(value)?;
    Ok(Arc::new(Stored {
        id: id.into(),
        document: row.registration.get().into(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        owner: row.owner.map(Into::into),
        incarnation: row.incarnation.unwrap_or_else(|| revision(at)),
        revision: revision(at),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_it_stands_for() {
        assert_eq!(place(&agent("a:b.c")), Some(Place::Agent("a:b.c")));
        assert_eq!(place(&replica(255)), Some(Place::Replica(255)));
        assert!([flush(7, 1), sum(7, 1)].iter().all(|key| place(key) == Some(Place::Beats(7, 1))));
        assert_eq!([&b"/other"[..], b"/mesh/v1/beats/x/1", b"\xff"].map(place), [None, None, None]);
    }

    #[test]
    fn what_is_watched_leaves_the_sums_out() {
        let is_within = |key: &[u8], (first, end): &Keys| key >= &first[..] && key < &end[..];
        for key in [agent("zzz"), flush(i64::MAX, u64::MAX), replica(i64::MAX)] {
            assert!(is_within(&key, &watched()));
        }
        assert!(!is_within(&sum(0, 0), &watched()) && is_within(&sum(i64::MAX, u64::MAX), &heard()));
        assert!(is_within(&flush(3, 8), &before(3, 9)[0]) && !is_within(&flush(3, 9), &before(3, 9)[0]));
        assert!(is_within(&sum(3, 8), &everything_of(3)[1]) && !is_within(&sum(4, 0), &everything_of(3)[1]));
    }

    #[test]
    fn revisions_go_there_and_back() {
        assert_eq!(engine_revision(revision(123)), 123);
        assert_eq!([engine_revision(0), engine_revision(revision(5) + 1)], [0, i64::MAX]);
    }
}
