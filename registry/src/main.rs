//! The `mesh-registry` binary.

use std::process::ExitCode;

/// The catalog is read by several threads and lives in millions of small pieces: the allocator of glibc makes a start
/// with 100,000 agents take twice as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mesh_registry::program::main(std::env::args_os())
}
