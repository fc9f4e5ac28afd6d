//! Follows etcd: a snapshot at one revision, then every change behind it, from whichever member answers. When the changes
//! that are wanted have been compacted away, there is another snapshot.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::beats::{Flush, Head};
use super::layout::{self, Place};
use super::peers::Lost;
use super::session::Session;
use super::snapshot::{Seen, snapshot};
use super::wire::{
    KeyEvent, KeyEventType, KeyValue, RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use super::write::wall;
use crate::store::change::{Changed, Event};

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
    Lost(Status),
}

/// Tells `sender` every change behind `revision`, for as long as somebody listens.
pub(super) async fn follow(session: Arc<Session>, sender: UnboundedSender<Event>, mut revision: i64) {
    loop {
        match watch(&session, &sender, &mut revision).await {
            Ended::Unheard => return,
            Ended::Compacted => {
                let Some(reached) = relist(&session, &sender).await else { return };
                revision = reached;
            }
            Ended::Lost(fault) => {
                tracing::debug!(%fault, "the watch of etcd was lost, opening another one");
                session.members.distrust(&fault);
                sleep(PAUSE).await;
            }
        }
    }
}

/// Tells everything anew. Returns up to which revision; `None` when nobody listens.
async fn relist(session: &Session, sender: &UnboundedSender<Event>) -> Option<i64> {
    loop {
        match snapshot(session).await {
            Ok(Seen { snapshot, revision, unreadable, lost }) => {
                tracing::info!(revision, "changes in etcd were missed, everything is read anew");
                for fault in unreadable {
                    tracing::error!(%fault, "a registration was passed over");
                }
                let at = snapshot.revision;
                sender.send(Event::Snapshot(snapshot)).ok()?;
                for lost in lost {
                    sender.send(Event::Changed(lost.at(at))).ok()?;
                }
                return Some(revision);
            }
            Err(fault) => {
                tracing::warn!(%fault, "etcd cannot be read anew, trying again");
                sleep(SILENCE).await;
            }
        }
    }
}

async fn watch(session: &Session, sender: &UnboundedSender<Event>, revision: &mut i64) -> Ended {
    let (key, range_end) = layout::watched();
    let create = WatchCreateRequest { key, range_end, start_revision: *revision + 1, fragment: true };
    let mut stream = match session.members.stream(WatchRequest { create: Some(create) }).await {
        Ok(stream) => stream,
        Err(fault) => return Ended::Lost(fault),
    };
    let mut pieces = Vec::new();
    loop {
        let message = match timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Ended::Lost(Status::unavailable("the watch ended")),
            Ok(Err(fault)) => return Ended::Lost(fault),
            Err(_) => return silent(session, *revision).await,
        };
        let WatchResponse { canceled, compact_revision, cancel_reason, fragment, events } = message;
        if compact_revision > 0 {
            return Ended::Compacted;
        }
        if canceled {
            return Ended::Lost(Status::unavailable(cancel_reason));
        }
        pieces.extend(events);
        if fragment {
            continue;
        }
        for event in pieces.drain(..) {
            let Some((at, changed)) = session.understood(event) else { continue };
            *revision = at;
            if let Some(changed) = changed
                && sender.send(Event::Changed(changed)).is_err()
            {
                return Ended::Unheard;
            }
        }
        if sender.is_closed() {
            return Ended::Unheard;
        }
    }
}

/// A silent watch is opened anew; but an etcd that has been set back to an earlier revision has nothing to tell until it
/// comes to ours again.
async fn silent(session: &Session, revision: i64) -> Ended {
    let (key, _) = layout::agents();
    let looked = session.members.call(RangeRequest { key, limit: 1, ..RangeRequest::default() });
    match timeout(SILENCE, looked).await {
        Ok(Ok(answer)) if answer.header.as_ref().is_some_and(|header| header.revision < revision) => {
            Ended::Compacted
        }
        _ => Ended::Lost(Status::deadline_exceeded("the watch is silent")),
    }
}

impl Session {
    /// What an event means, and at which of etcd's revisions it happened.
    fn understood(&self, event: KeyEvent) -> Option<(i64, Option<Changed>)> {
        let is_gone = event.r#type() == KeyEventType::Delete;
        let KeyValue { key, mod_revision, value } = event.kv?;
        let (revision, now) = (layout::revision(mod_revision), Instant::now());
        let changed = match layout::place(&key)? {
            Place::Agent(id) if is_gone => Some(Changed::Removed { id: id.into(), revision }),
            Place::Agent(id) => match layout::read(id, &value, mod_revision) {
                Ok(stored) => Some(Changed::Put(stored)),
                Err(fault) => {
                    tracing::error!(agent.id = id, %fault, "a registration in etcd cannot be read and was passed over");
                    None
                }
            },
            Place::Beats(..) if is_gone => None,
            Place::Beats(replica, number) if self.peers.is_mine(replica) => {
                self.peers.came_by(replica, number);
                let announced = Head::decode(value).map_or(0, |head| head.announced);
                Some(Changed::SetAside { revision: revision + announced.min(layout::MAX_ANNOUNCED) })
            }
            Place::Beats(replica, _) => {
                let number = self.peers.flushed(replica, now);
                let flush = Flush::decode(value).unwrap_or_default();
                let heard = flush.unpack(wall(), Duration::ZERO, Some(number)).collect();
                Some(Changed::Heard { heard, revision })
            }
            Place::Replica(replica) if is_gone => {
                self.replica.bury(replica, now);
                self.peers.gone(replica, now).map(|lost| lost.at(revision))
            }
            Place::Replica(replica) => {
                self.peers.arrived(replica, now);
                None
            }
        };
        Some((mod_revision, changed))
    }
}

impl Lost {
    fn at(self, revision: u64) -> Changed {
        Changed::Lost { replica: self.number, heard: self.heard, revision }
    }
}
