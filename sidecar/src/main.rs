//! The `mesh-sidecar` binary: settings, logs, run, exit code.

use std::process::ExitCode;

use mesh_daemon::settings::{self, Problems};
use mesh_daemon::{signal, telemetry};
use mesh_sidecar::config::{Config, PROGRAM};
use mesh_sidecar::error::chain;
use mesh_sidecar::manifest::{self, Manifest};
use mesh_sidecar::server::Server;
use tokio_util::sync::CancellationToken;

/// Levels of the logs unless `RUST_LOG` says otherwise.
const LOG_FILTER: &str = "info";

fn main() -> ExitCode {
    match settings::load_with(&PROGRAM, std::env::args_os(), Config::read, with_manifest) {
        Ok((config, manifest)) => run(&config, manifest),
        Err(stop) => stop.report(),
    }
}

fn with_manifest(config: Config) -> Result<(Config, Option<Manifest>), Problems> {
    let manifest = config.manifest.as_ref().map(|file| manifest::load(file, |name| std::env::var(name).ok()));
    Ok((config, manifest.transpose()?))
}

#[tokio::main]
async fn run(config: &Config, manifest: Option<Manifest>) -> ExitCode {
    telemetry::init(LOG_FILTER);
    for remark in manifest.iter().flat_map(Manifest::remarks) {
        tracing::warn!("{remark}");
    }
    let server = match Server::bind(config, manifest).await {
        Ok(server) => server,
        Err(fault) => {
            tracing::error!(reason = chain(&fault), "mesh-sidecar cannot start");
            return ExitCode::FAILURE;
        }
    };
    tracing::info!(address = %server.local_addr(), registry = config.registries.join(","), "mesh-sidecar is listening");
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        match signal::terminated().await {
            Ok(signal) => tracing::info!(signal, "mesh-sidecar drains"),
            Err(fault) => tracing::error!(%fault, "signals cannot be received"),
        }
        stopping.cancel();
    });
    server.run(stop).await;
    tracing::info!("mesh-sidecar is done");
    ExitCode::SUCCESS
}
