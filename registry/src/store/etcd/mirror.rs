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
        for event in pieces.drain(..) {
            match session.pass_on(teller, event) {
                Ok(at) => *revision = at.max(*revision),
                Err(Unheard) => return Ended::Unheard,
            }
        }
        session.mirrored.store(*revision, Relaxed);
        if teller.is_unheard() {
            return Ended::Unheard;
        }
    }
}

impl Session {
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
            Some(Place::Replica(replica)) => {
                self.replica.dig_up(replica);
                self.peers.arrived(replica, None);
            }
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
