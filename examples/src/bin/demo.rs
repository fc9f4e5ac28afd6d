//! `cargo demo`: the mesh at work, on a terminal. With `--once` it ends after the show.
//!
//! One executable plays all parts, each in a process of its own: called with the name of a part as its first
//! argument it is that program, so that the demo needs nothing but itself.

use std::process::ExitCode;

use mesh_examples::demo::cast::Part;
use mesh_examples::{demo, program};

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    let part = arguments.get(1).and_then(|name| Part::from_name(name.to_str()?));
    if part.is_some() {
        arguments.remove(0);
    }
    match part {
        Some(Part::Registry) => mesh_registry::program::main(arguments),
        Some(Part::Sidecar) => mesh_sidecar::program::main(arguments),
        Some(Part::Agent) => program::main(arguments),
        None => demo::story::main(arguments),
    }
}
