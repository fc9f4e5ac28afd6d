//! The whole program, from the command line to the exit code: settings, logs, run.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use mesh_daemon::settings::{self, Problems, Program};
use mesh_daemon::{signal, telemetry};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, PROGRAM};
use crate::error::chain;
use crate::init::{self, INIT};
use crate::manifest::{self, Manifest};
use crate::server::Server;
use crate::warden;

/// The sidecar, with what else it can be told to do.
const SIDECAR: Program = Program { commands: &[INIT], ..PROGRAM };
/// Levels of the logs unless `RUST_LOG` says otherwise.
const LOG_FILTER: &str = "info";

/// Runs the sidecar until it is told to stop, or what its first argument says to the end. `arguments` begin with the program's
/// name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().collect::<Vec<_>>();
    if arguments.get(1).is_some_and(|word| INIT.is(word)) {
        return init::main(arguments.drain(1..));
    }
    if arguments.get(1).is_some_and(|word| warden::is_wanted(word)) {
        return warden::main(arguments.drain(2..));
    }
    match settings::load_with(&SIDECAR, arguments, Config::read, with_manifest) {
        Ok((config, manifest)) => run(&config, manifest),
        Err(stop) => stop.report(),
    }
}

fn with_manifest(config: Config) -> Result<(Config, Option<Manifest>), Problems> {
    let manifest = config.manifest.as_ref().map(|file| manifest::load(file, |name| std::env::var(name).ok()));
    let manifest = manifest.transpose()?;
    if let Err(fault) = check_inbound(config.inbound, manifest.as_ref()) {
        let mut problems = Problems::default();
        problems.line(format!("--inbound: {fault}"));
        return Err(problems);
    }
    Ok((config, manifest))
}

fn check_inbound(address: Option<SocketAddr>, manifest: Option<&Manifest>) -> Result<(), String> {
    match (address, manifest) {
        (Some(address), Some(manifest)) => manifest.check_inbound(address),
        (Some(_), None) => Err("needs an agent to pass peers' calls to: set --manifest".to_owned()),
        (None, Some(Manifest { program: Some(_), .. })) => Err(
            "is needed for an agent that the sidecar runs (endpoint.stdio), because peers reach it in no other way: \
             set it to an address such as 127.0.0.1:15002"
                .to_owned(),
        ),
        (None, _) => Ok(()),
    }
}

#[tokio::main]
async fn run(config: &Config, manifest: Option<Manifest>) -> ExitCode {
    telemetry::init(LOG_FILTER);
    let server = match Server::bind(config, manifest).await {
        Ok(server) => server,
        Err(fault) => {
            tracing::error!(reason = chain(&fault), "mesh-sidecar cannot start");
            return ExitCode::FAILURE;
        }
    };
    for remark in server.remarks() {
        tracing::warn!("{remark}");
    }
    if let Some(address) = server.inbound_addr() {
        tracing::info!(%address, "peers reach our agent through the inbound port");
    }
    tracing::info!(address = %server.local_addr(), registry = config.registries.join(","), "mesh-sidecar is listening");
    let stop = CancellationToken::new();
    tokio::spawn(stop_when_told(stop.clone()));
    server.run(stop).await;
    tracing::info!("mesh-sidecar is done");
    ExitCode::SUCCESS
}

async fn stop_when_told(stop: CancellationToken) {
    match signal::terminated().await {
        Ok(signal) => tracing::info!(signal, "mesh-sidecar drains"),
        Err(fault) => tracing::error!(%fault, "signals cannot be received"),
    }
    stop.cancel();
}
