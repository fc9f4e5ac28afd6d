//! `cargo discovery`: what the registry carries, beside what any server would cost that sends the same bytes.
//!
//! A registry, a floor and a fleet that is alive; the figures stand beside their targets. Nothing here fails because a
//! machine is slow: the figures are for people, and tests gate.

mod story;

mod costs;
mod rounds;

mod stage;

mod plan;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use mesh_examples::loadgen::program;

use self::plan::Flags;

fn main() -> ExitCode {
    let arguments = std::env::args_os().collect::<Vec<OsString>>();
    // The floor is this program under the name of one of the load tool's jobs, in a process of its own.
    if arguments.get(1).is_some_and(|job| job == stage::FLOOR) {
        return program::main(arguments);
    }
    match measure(&Flags::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "the figures could not be taken: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(flags: &Flags) -> anyhow::Result<()> {
    // One core asks, the others answer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(story::tell(&flags.plan()))
}
