//! `cargo demo`: the mesh at work, on a terminal. With `--once` it ends after the show.
//!
//! One executable plays all parts, each in a process of its own, so that the demo needs nothing but itself.

use std::process::ExitCode;

use mesh_examples::demo::cast::Part;
use mesh_examples::demo::story;

fn main() -> ExitCode {
    Part::play(std::env::args_os().collect()).unwrap_or_else(story::main)
}
