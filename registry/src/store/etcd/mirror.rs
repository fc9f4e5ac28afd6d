//! Follows etcd: a snapshot at one revision, then every change behind it, from whichever member answers. When the changes
//! that are wanted have been compacted away, there is another snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prost::Message as _;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::beats::{Flush, Head, Reading};
use super::layout::{self, Place};
use super::peers::Lost;
use super::session::{Session, wall};
use super::snapshot::{Seen, snapshot};
use super::wire::{KeyEvent, KeyEventType, KeyValue, WatchCreateRequest, WatchRequest, WatchResponse};
use crate::store::change::{Changed, Event, HERE};
use crate::store::follower::{Teller, Unheard};

/// Time without a message, of which there is one a second, after which a watch is opened anew.
const SILENCE: Duration = Duration::from_secs(5);
/// Pause before a watch that was lost is opened anew.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a watch ended.
enum Ended {
    /// Nobody listens.
    Unheard,
    /// What it should have told is not there any more.
    Compacted,
    /// The member is gone, or silent.
    Lost,
}

/// Tells `teller` every change behind `revision`, to which a snapshot had come that was begun at `began`, for as long as
/// somebody listens.
pub(super) async fn follow(session: Arc<Session>, teller: Teller, mut revision: i64, began: Instant) {
    if session.taken_in(&teller, revision, began).is_err() {
        return;
    }
    loop {
        match watch(&session, &teller, &mut revision).await {
            Ended::Unheard => return,
            Ended::Compacted => {
                let Some(reached) = relist(&session, &teller).await else { return };
                revision = reached;
            }
            Ended::Lost => sleep(PAUSE).await,
        }
    }
}

/// Tells everything anew. Returns up to which revision; `None` when nobody listens.
async fn relist(session: &Arc<Session>, teller: &Teller) -> Option<i64> {
    loop {
        let began = Instant::now();
        match snapshot(session).await {
            Ok(Seen { snapshot, revision, unreadable, present }) => {
                tracing::info!(revision, "changes in etcd were missed, everything is read anew");
                for fault in unreadable {
                    tracing::error!(%fault, "a registration was passed over");
                }
                let at = snapshot.revision;
                teller.tell(Event::Snapshot(snapshot)).ok()?;
                for replica in session.peers.missing(&present) {
                    session.tell_lost(teller, replica, at).ok()?;
                }
                session.taken_in(teller, revision, began).ok()?;
                return Some(revision);
            }
            Err(fault) => {
                tracing::warn!(%fault, "etcd cannot be read anew, trying again");
                sleep(SILENCE).await;
            }
        }
    }
}

async fn watch(session: &Arc<Session>, teller: &Teller, revision: &mut i64) -> Ended {
    let (key, range_end) = layout::watched();
    let create = WatchCreateRequest { key, range_end, start_revision: *revision + 1, fragment: true };
    // A member that does not open it has had its turn.
    let Ok((mut stream, turn)) = session.members.stream(WatchRequest { create: Some(create) }).await else {
        return Ended::Lost;
    };
    let lost = |fault: &Status| {
        session.members.distrust(turn, fault);
        Ended::Lost
    };
    let mut pieces = Vec::new();
    loop {
        let message = tokio::select! {
            message = timeout(SILENCE, stream.message()) => message,
            () = session.set_back.notified() => return Ended::Compacted,
            () = session.members.moved_on(turn) => return Ended::Lost,
        };
        let message = match message {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return lost(&Status::unavailable("the watch ended")),
            Ok(Err(fault)) => return lost(&fault),
            Err(_) => return lost(&Status::deadline_exceeded("the watch is silent")),
        };
        let WatchResponse { canceled, compact_revision, cancel_reason, fragment, events } = message;
        if compact_revision > 0 {
            return Ended::Compacted;
        }
        if canceled {
            return lost(&Status::unavailable(cancel_reason));
        }
        pieces.extend(events);
        if fragment {
            continue;
        }
        match session.pass_on_all(teller, std::mem::take(&mut pieces)) {
            Ok(at) => *revision = at.max(*revision),
            Err(Unheard) => return Ended::Unheard,
        }
        session.mirrored.store(*revision, Relaxed);
        if teller.is_unheard() {
            return Ended::Unheard;
        }
    }
}

impl Session {
    /// Tells what events mean that came at once. Returns to which of etcd's revisions they go.
    fn pass_on_all(self: &Arc<Self>, teller: &Teller, events: Vec<KeyEvent>) -> Result<i64, Unheard> {
        // Of a replica that is new the first flush in a burst is the latest, which only the last one shows.
        let now = Instant::now();
        events.iter().for_each(|event| self.measure(event, now));
        events.into_iter().try_fold(0, |reached, event| Ok(self.pass_on(teller, event)?.max(reached)))
    }

    /// Notes who is there, and how quick its flushes are.
    fn measure(&self, event: &KeyEvent, now: Instant) {
        let there = event.kv.as_ref().filter(|_| event.r#type() != KeyEventType::Delete);
        match there.and_then(|kv| Some((layout::place(&kv.key)?, &kv.value))) {
            Some((Place::Replica(replica), _)) => self.peers.arrived(replica, None),
            Some((Place::Beats(replica, _), value)) => {
                let uptime = Head::decode(value.clone()).map_or(0, |head| head.uptime);
                self.peers.lateness(replica, Duration::from_millis(uptime), now);
            }
            _ => {}
        }
    }

    /// Tells what an event means. Returns at which of etcd's revisions it happened.
    fn pass_on(self: &Arc<Self>, teller: &Teller, event: KeyEvent) -> Result<i64, Unheard> {
        let is_gone = event.r#type() == KeyEventType::Delete;
        let KeyValue { key, mod_revision, value } = event.kv.unwrap_or_default();
        let (revision, now, this) = (layout::revision(mod_revision), Instant::now(), Arc::clone(self));
        let tell = |changed| teller.tell(Event::Changed(changed));
        match layout::place(&key) {
            Some(Place::Agent(id)) if is_gone => tell(Changed::Removed { id: id.into(), revision })?,
            Some(Place::Agent(id)) => match layout::read(id, &value, mod_revision) {
                Ok(stored) => tell(Changed::Put(stored))?,
                Err(fault) => {
                    tracing::error!(agent.id = id, %fault, "a registration in etcd cannot be read and was passed over");
                }
            },
            Some(Place::Beats(..)) if is_gone => {}
            Some(Place::Beats(replica, number)) if self.peers.is_mine(replica) => {
                let announced = Head::decode(value).map_or(0, |head| head.announced);
                tell(Changed::SetAside { revision: revision + announced.min(layout::MAX_ANNOUNCED) })?;
                teller.then(move || this.peers.came_by(replica, number))?;
            }
            Some(Place::Beats(replica, _)) => {
                let flush = Flush::decode(value).unwrap_or_default();
                let (uptime, is_whole) = (Duration::from_millis(flush.uptime), !flush.more);
                let since = self.peers.lateness(replica, uptime, now);
                // Whoever has lost its lease and does not know it: what it hears is ours to pass on.
                let number = self.peers.number(replica).unwrap_or(HERE);
                let reading = Reading { wall: wall(), since, replica: Some(number) };
                tell(Changed::Heard { heard: flush.unpack(reading).collect(), revision })?;
                let made = now.checked_sub(since).unwrap_or(now);
                if is_whole {
                    teller.then(move || this.peers.flushed(replica, made))?;
                }
            }
            Some(Place::Replica(replica)) if is_gone => {
                self.replica.bury(replica, now);
                self.tell_lost(teller, replica, revision)?;
            }
            Some(Place::Replica(replica)) => self.replica.dig_up(replica),
            None => {}
        }
        Ok(mod_revision)
    }

    /// Tells that a replica is gone, if it was there.
    fn tell_lost(self: &Arc<Self>, teller: &Teller, replica: i64, revision: u64) -> Result<(), Unheard> {
        let Some(Lost { number, heard }) = self.peers.lost(replica, Instant::now()) else { return Ok(()) };
        teller.tell(Event::Changed(Changed::Lost { replica: number, heard, revision }))?;
        let this = Arc::clone(self);
        teller.then(move || this.peers.forget(replica))
    }

    /// When all that was told so far is taken in, everything is that was written before `then`.
    fn taken_in(self: &Arc<Self>, teller: &Teller, revision: i64, then: Instant) -> Result<(), Unheard> {
        self.mirrored.store(revision, Relaxed);
        let this = Arc::clone(self);
        teller.then(move || this.peers.is_current(then))
    }
}

#[cfg(test)]
mod tests {
    use mesh_api::health::Reported;

    use super::super::beats::{self, Moment};
    use super::*;
    use crate::store::change::{Beat, Beats, Snapshot, Via};
    use crate::store::follower::Changes;
    use crate::store::url::StoreUrl;

    fn event(key: Vec<u8>, value: impl Into<bytes::Bytes>) -> KeyEvent {
        let kv = KeyValue { key: key.into(), value: value.into(), mod_revision: 9 };
        KeyEvent { kv: Some(kv), ..KeyEvent::default() }
    }

    /// A flush of a replica that has been running for `uptime`, and heard an agent just now.
    fn flush(number: u64, uptime: Duration) -> KeyEvent {
        let via = Some(Via { replica: HERE, ago: Duration::ZERO, heard: Duration::ZERO });
        let beat = Beat { at: 0, life: 1, reported: Reported::Healthy, said: None, via };
        let (beats, now) = (Beats::from([("a".to_owned(), beat)]), Moment { wall: 0, uptime });
        event(layout::flush(7, number), beats::pack(&beats, now, 0, 1).remove(0).1)
    }

    #[tokio::test]
    async fn what_a_new_replica_wrote_long_ago_is_late_also_when_it_all_comes_at_once() {
        let StoreUrl::Etcd(endpoints) = "etcd://127.0.0.1:1".parse().unwrap() else { unreachable!() };
        let session = Arc::new(Session::new(&endpoints).unwrap());
        let (teller, mut changes) = Changes::beginning_with(Snapshot::default());
        let seconds = Duration::from_secs;
        let burst = vec![event(layout::replica(7), ""), flush(0, seconds(1)), flush(1, seconds(41))];
        assert_eq!(session.pass_on_all(&teller, burst), Ok(9));
        let heard = changes.next().await.into_iter().filter_map(|event| match event {
            Event::Changed(Changed::Heard { heard, .. }) => heard[0].1.via,
            _ => None,
        });
        let [first, last] = heard.collect::<Vec<_>>()[..] else { panic!("two flushes") };
        assert_eq!(
            (Some(first.replica), Some(last.replica)),
            (session.peers.number(7), session.peers.number(7))
        );
        assert!(first.ago >= seconds(40) && last.ago < seconds(40), "{first:?} {last:?}");
    }
}
