//! `cargo figures`: measures what the mesh promises, with the real programs, and prints it.

use std::process::ExitCode;

use mesh_examples::demo::cast::Part;
use mesh_examples::figures;

fn main() -> ExitCode {
    Part::play(std::env::args_os().collect()).unwrap_or_else(|_| figures::main())
}
