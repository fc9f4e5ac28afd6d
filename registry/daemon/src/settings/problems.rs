//! The faults of a configuration, collected until all of them are known.

use mesh_api::error::Fault;

/// Every fault of a configuration, each with the place it comes from.
#[derive(Debug, Default)]
pub struct Problems {
    lines: Vec<String>,
}

impl Problems {
    /// Notes faults, each with the place that `place` knows for its path.
    pub fn add(&mut self, faults: impl IntoIterator<Item = Fault>, place: impl Fn(&str) -> String) {
        for fault in faults {
            match place(&fault.path) {
                place if place.is_empty() => self.line(fault.to_string()),
                place => self.line(format!("{place}: {fault}")),
            }
        }
    }

    /// Notes one fault that already says where it is.
    pub fn line(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Notes all faults of `other`.
    pub fn join(&mut self, other: Self) {
        self.lines.extend(other.lines);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The faults, one a line.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}
