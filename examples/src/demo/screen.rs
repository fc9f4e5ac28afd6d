//! What the demo shows: headings, facts and one line that moves while calls are under way.
//!
//! Colours and movement only on a terminal; in a file the same words stand line by line.

use std::io::{IsTerminal as _, Write as _};

/// Width of the names in front of facts.
const NAME_WIDTH: usize = 14;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Where the demo is shown.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    is_terminal: bool,
}

impl Screen {
    /// The standard output.
    pub fn open() -> Self {
        Self { is_terminal: std::io::stdout().is_terminal() }
    }

    /// Begins a scene.
    pub fn scene(self, title: &str) {
        self.line(&format!("\n{} {}", self.paint(CYAN, "▸"), self.paint(BOLD, title)));
    }

    /// Something to know, with a name in front.
    pub fn fact(self, name: &str, text: &str) {
        self.line(&format!("  {} {text}", self.paint(DIM, &format!("{name:<NAME_WIDTH$}"))));
    }

    /// Something that went well.
    pub fn well(self, text: &str) {
        self.line(&format!("  {} {text}", self.paint(GREEN, "✓")));
    }

    /// Something that happens to the mesh.
    pub fn event(self, text: &str) {
        self.line(&format!("  {} {text}", self.paint(YELLOW, "•")));
    }

    /// Shows `text` until the next line is shown. Only on a terminal.
    pub fn passing(self, text: &str) {
        if self.is_terminal {
            self.write(&format!("\r\x1b[2K  {}", self.paint(DIM, text)));
        }
    }

    /// A line as it is.
    pub fn line(self, text: &str) {
        let begin = if self.is_terminal { "\r\x1b[2K" } else { "" };
        self.write(&format!("{begin}{text}\n"));
    }

    fn paint(self, style: &str, text: &str) -> String {
        if self.is_terminal { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Nobody looks any more (`cargo demo | head`): the demo goes on to its end all the same.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
