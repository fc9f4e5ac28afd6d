//! `cargo loadgen`: fills a registry, asks it, watches it, and prints what that costs.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_examples::loadgen::program::main(std::env::args_os())
}
