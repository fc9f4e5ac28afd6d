//! The `mesh-sidecar` binary.

use std::process::ExitCode;

/// A call takes dozens of small pieces of memory and gives them back at once, for which the allocator of glibc takes twice as
/// many instructions (`cargo callpath`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mesh_sidecar::program::main(std::env::args_os())
}
