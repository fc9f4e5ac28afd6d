//! The whole program, from the command line to the exit code: settings, logs, run until told to stop.

use std::ffi::OsString;
use std::process::ExitCode;

use mesh_daemon::settings::{self, Program};
use mesh_daemon::{signal, telemetry};
use tokio_util::sync::CancellationToken;

use crate::backup::{self, BACKUP, RESTORE};
use crate::config::{Config, PROGRAM};
use crate::server::Server;

/// The registry, with what else it can be told to do.
const REGISTRY: Program = Program { commands: &[BACKUP, RESTORE], ..PROGRAM };
/// Levels of the logs unless `RUST_LOG` says otherwise.
const LOG_FILTER: &str = "info";

/// Runs the registry until it is told to stop, or one of its commands to the end. `arguments` begin with the program's
/// name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().collect::<Vec<_>>();
    let command =
        REGISTRY.commands.iter().find(|command| arguments.get(1).is_some_and(|word| command.is(word)));
    match command {
        Some(command) => backup::main(command, arguments.drain(1..)),
        None => serve(arguments),
    }
}

fn serve(arguments: Vec<OsString>) -> ExitCode {
    let config = match settings::load(&REGISTRY, arguments, Config::read) {
        Ok(config) => config,
        Err(stop) => return stop.report(),
    };
    telemetry::init(LOG_FILTER);
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            tracing::error!(reason = format!("{fault:#}"), "mesh-registry failed");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let server = Server::bind(config).await?;
    let stop = CancellationToken::new();
    let serving = server.run(stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended?,
        signal = signal::terminated() => {
            tracing::info!(signal = signal?, "mesh-registry drains and stops");
            stop.cancel();
            serving.await?;
        }
    }
    Ok(())
}
