//! `cargo callpath`: what a call through the sidecar costs, beside the thinnest proxy that could carry it.
//!
//! An upstream agent, a thin proxy and the real sidecar, each in a process of its own, are asked in turns, so that
//! whatever else the machine does hits all of them. Nothing here fails because a machine is slow; a request that is not
//! answered well fails the whole.

mod story;

mod counts;
mod rounds;

mod stage;

mod plan;
mod subject;

mod thin;
mod upstream;

mod serve;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::Builder;

use self::plan::Flags;

fn main() -> ExitCode {
    let arguments = std::env::args_os().collect::<Vec<OsString>>();
    // The upstream and the thin proxy are this program under the name of a job, in processes of their own.
    let worked = match arguments.get(1).and_then(|job| job.to_str()) {
        Some(upstream::JOB) => upstream::main(),
        Some(thin::JOB) => thin::main(arguments.get(2)),
        _ => measure(&Flags::parse_from(arguments)),
    };
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(std::io::stderr(), "the figures could not be taken: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(flags: &Flags) -> anyhow::Result<()> {
    // One core asks, the others answer.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(story::tell(&flags.plan()?))
}
