//! A registration on its way from the store into the catalog: read, laid out, and joined with what is heard of it. All
//! of this is done before anybody is made to wait.

use std::sync::Arc;

use mesh_api::agent::Registration;
use mesh_api::health::Status;

use super::outline;
use super::record::Record;
use super::vitals::Vitals;
use crate::health::{AgentTypes, Vantage};
use crate::store::change::{Beat, Stored};

/// A registration that can be seated.
#[derive(Debug)]
pub struct Arrival {
    /// The record it has become.
    pub record: Arc<Record>,
    /// The outline of its document.
    pub outline: Registration,
    /// The outline of the document that it replaces.
    pub known: Option<Registration>,
    /// Its status on arrival.
    pub status: Status,
}

/// The store holds what is no registration.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store holds a registration of {id} that cannot be read, restore it from a backup or register the agent again"
)]
pub struct Unreadable {
    /// Of which agent.
    pub id: String,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// Arrivals that are handed over together, and such batches that wait: enough to keep all cores at work, and little
/// memory.
const BATCH: usize = 256;
const WAITING: usize = 4;

/// Reads what is stored on all cores, and hands over each arrival as it comes, in any order; what is one batch is read here
/// and in order, because threads would take longer than it does.
pub fn read_all(
    stored: &[Arc<Stored>],
    read: impl Fn(&Arc<Stored>) -> Result<Arrival, Unreadable> + Sync,
    mut seat: impl FnMut(Result<Arrival, Unreadable>),
) {
    if stored.len() <= BATCH {
        return stored.iter().map(read).for_each(seat);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (sender, arrivals) = std::sync::mpsc::sync_channel(WAITING);
    std::thread::scope(|scope| {
        for part in stored.chunks(stored.len().div_ceil(cores).max(1)) {
            let (sender, read) = (sender.clone(), &read);
            let batches = part.chunks(BATCH).map(move |batch| batch.iter().map(read).collect::<Vec<_>>());
            // Whoever seats them takes all.
            scope.spawn(move || batches.for_each(|batch| drop(sender.send(batch))));
        }
        drop(sender);
        arrivals.iter().flatten().for_each(&mut seat);
    });
}

impl Arrival {
    /// Reads what is stored. A registration of the same life as `known` keeps its vitals, and is a sign of life when it
    /// is a new one; a new life starts unheard, unless `beat` is of it.
    ///
    /// # Errors
    /// When it is no registration.
    pub fn read(
        stored: Arc<Stored>,
        known: Option<&Record>,
        beat: Option<&Beat>,
        types: &AgentTypes,
        from: Vantage,
    ) -> Result<Self, Unreadable> {
        let id = Arc::clone(&stored.id);
        let unreadable = |source| Unreadable { id: id.to_string(), source };
        let replaced = known.map(Record::outline);
        let known = known.filter(|record| record.stored.incarnation == stored.incarnation);
        let vitals = match (known, beat.filter(|beat| beat.life == stored.incarnation)) {
            (Some(record), _) => {
                if record.stored.revision != stored.revision {
                    record.vitals.registered(from.now);
                }
                let beat = beat.filter(|beat| beat.life == stored.incarnation);
                if let Some(beat) = beat {
                    record.vitals.recall(beat, from.now);
                }
                Arc::clone(&record.vitals)
            }
            (None, Some(beat)) => Arc::new(Vitals::restored(beat, from.now)),
            (None, None) => Arc::new(Vitals::unheard(from.now)),
        };
        let outline = outline::read(&stored.document).map_err(unreadable)?;
        let record = Record::new(stored, &outline, types, vitals).map_err(unreadable)?;
        let status = record.derived_status(from);
        Ok(Self { record: Arc::new(record), outline, known: replaced, status })
    }
}
