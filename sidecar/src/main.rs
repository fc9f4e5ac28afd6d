//! The `mesh-sidecar` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_sidecar::program::main(std::env::args_os())
}
