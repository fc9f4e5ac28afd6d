//! The `mesh-sidecar` binary.

use std::process::ExitCode;

/// A call takes some forty pieces of memory and gives them back: with the allocator of glibc that is a seventh of what the
/// call costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mesh_sidecar::program::main(std::env::args_os())
}
