//! The `example-agent` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_examples::program::main(std::env::args_os())
}
