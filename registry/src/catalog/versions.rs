//! The version of every capability, as a column of numbers. Pure.
//!
//! A constraint is asked of each different version once, and then of rows by their number: cheaper than a posting list
//! for each version, of which a range may need hundreds.

use std::collections::HashMap;

use mesh_api::version::VersionConstraint;
use roaring::RoaringBitmap;
use semver::Version;

/// The version of every row.
#[derive(Debug, Default)]
pub struct Versions {
    numbers: HashMap<Version, u32>,
    /// Different versions by number, each with how many rows have it.
    entries: Vec<(Version, u32)>,
    free: Vec<u32>,
    /// By row; meaningless for rows that are free.
    column: Vec<u32>,
}

impl Versions {
    /// Row `row` has `version` now.
    pub fn set(&mut self, row: u32, version: &Version) {
        let number = match self.numbers.get(version) {
            Some(number) => *number,
            None => self.intern(version),
        };
        self.entries[number as usize].1 += 1;
        let needed = row as usize + 1;
        if self.column.len() < needed {
            self.column.resize(needed, 0);
        }
        self.column[row as usize] = number;
    }

    /// Row `row`, which had a version, has none any more.
    pub fn unset(&mut self, row: u32) {
        let number = self.column[row as usize];
        let (version, rows) = &mut self.entries[number as usize];
        *rows -= 1;
        if *rows == 0 {
            self.numbers.remove(version);
            self.free.push(number);
        }
    }

    /// Keeps in `rows` those whose version will do.
    pub fn retain(&self, rows: &mut RoaringBitmap, constraint: &VersionConstraint) {
        let mut verdicts = vec![None; self.entries.len()];
        rows.retain(|row| {
            let number = self.column[row as usize] as usize;
            *verdicts[number].get_or_insert_with(|| constraint.matches(&self.entries[number].0))
        });
    }

    fn intern(&mut self, version: &Version) -> u32 {
        let entry = (version.clone(), 0);
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.numbers.insert(version.clone(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_kept_by_the_version_they_have_now() {
        let mut versions = Versions::default();
        let version = |text: &str| text.parse::<Version>().unwrap();
        for (row, text) in [(0, "1.0.0"), (1, "2.0.0"), (2, "1.5.0"), (3, "1.0.0")] {
            versions.set(row, &version(text));
        }
        versions.unset(1);
        versions.set(1, &version("1.9.0"));
        versions.unset(0);
        let mut rows = RoaringBitmap::from_iter([1, 2, 3]);
        versions.retain(&mut rows, &">=1.2".parse().unwrap());
        assert!(rows.iter().eq([1, 2]));
        assert_eq!(versions.entries.len(), 3, "the number of 2.0.0 is used again");
    }
}
