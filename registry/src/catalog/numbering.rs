//! The numbers of capabilities: those of one agent lie side by side. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

/// Which rows are taken, and by whom.
#[derive(Debug, Default)]
pub struct Numbering {
    /// By row; meaningless for rows that are free.
    seats: Vec<u32>,
    /// Beginnings of free ranges, by their lengths.
    free: BTreeMap<u32, Vec<u32>>,
}

impl Numbering {
    /// The seat that has `row`.
    pub fn seat(&self, row: u32) -> u32 {
        self.seats.get(row as usize).copied().unwrap_or_default()
    }

    /// Takes `length` rows for `seat`. A range that an agent of as many capabilities left behind is used again.
    pub fn take(&mut self, length: u32, seat: u32) -> Range<u32> {
        let start = self.free.get_mut(&length).and_then(Vec::pop).unwrap_or(self.seats.len() as u32);
        let range = start..start + length;
        if self.seats.len() < range.end as usize {
            self.seats.resize(range.end as usize, 0);
        }
        self.seats[range.start as usize..range.end as usize].fill(seat);
        range
    }

    /// Gives rows back.
    pub fn give_back(&mut self, rows: Range<u32>) {
        if !rows.is_empty() {
            self.free.entry(rows.end - rows.start).or_default().push(rows.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_given_back_are_taken_again() {
        let mut rows = Numbering::default();
        let (first, second) = (rows.take(3, 7), rows.take(2, 8));
        rows.give_back(first.clone());
        assert_eq!((rows.take(2, 9), rows.take(3, 5), rows.take(0, 4)), (5..7, first, 7..7));
        assert_eq!([0, 3, 5].map(|row| rows.seat(row)), [5, 8, 9]);
        assert_eq!(second, 3..5);
    }
}
