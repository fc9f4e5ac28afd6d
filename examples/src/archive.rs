//! A list of notes in memory, numbered from 1.
//!
//! The tool `archive_note` writes to it. Nothing here recognises a repeated note: that a call which was carried out
//! twice shows up as a second number is what the archive is for.

use std::sync::{Mutex, PoisonError};

/// The notes of one agent.
#[derive(Debug, Default)]
pub struct Archive {
    notes: Mutex<Vec<String>>,
}

impl Archive {
    /// Appends `note` and returns its number.
    pub fn append(&self, note: String) -> usize {
        // A panic elsewhere cannot leave a list of strings half written, so a poisoned lock is as good as any.
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note);
        notes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_note_twice_gets_two_numbers() {
        let archive = Archive::default();
        assert_eq!((archive.append("tea".into()), archive.append("tea".into())), (1, 2));
    }
}
