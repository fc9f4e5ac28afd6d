//! The `mesh-registry` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_registry::program::main(std::env::args_os())
}
