//! What can be set: one table from which the flags, variables, file keys and `--help` come, and its reader.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_api::document::{Fields, number, parsed, quoted, string};
use mesh_daemon::settings::{Program, Setting};
use serde_json::Value;

use crate::health::AgentTypes;
use crate::store::url::StoreUrl;

/// Longest duration that can be set, in seconds: a day.
const MAX_SECONDS: f64 = 86_400.0;
/// Shortest interval of a timer and shortest patience, in seconds: below it the machine does little else.
const MIN_SECONDS: f64 = 0.01;
/// Largest document that can be allowed, in bytes: it is read into memory as a whole.
const MAX_DOCUMENT_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

/// Most things of one kind that can be kept: more would not fit into memory.
const MAX_COUNT: f64 = 10_000_000.0;

/// The registry as a program.
pub const PROGRAM: Program = Program {
    name: "mesh-registry",
    env_prefix: "MESH_REGISTRY",
    about: "Knows which MCP agent in the cluster can do what.",
    version: env!("CARGO_PKG_VERSION"),
    commands: &[],
    settings: &[
        Setting {
            name: "listen",
            value: "ADDR",
            default: "127.0.0.1:8000",
            help: "Address and port to listen on; port 0 takes a free one",
        },
        Setting {
            name: "store",
            value: "URL",
            default: "file:./mesh-data",
            help: "Where registrations are kept: file:DIRECTORY, etcd://HOST:PORT,HOST:PORT to share them with other registries, \
                   or memory: for nowhere",
        },
        Setting {
            name: "cache_ttl",
            value: "SECONDS",
            default: "30",
            help: "Time for which clients may keep a discovery answer, in whole seconds",
        },
        Setting {
            name: "max_cache_size",
            value: "ANSWERS",
            default: "10000",
            help: "Most answers kept to be given again while nothing has changed; 0 keeps none",
        },
        Setting {
            name: "watch_history",
            value: "CHANGES",
            default: "10000",
            help: "Most changes kept for watchers that come back; whoever missed more lists again",
        },
        Setting {
            name: "max_watchers",
            value: "WATCHES",
            default: "20000",
            help: "Most watches that are open at the same time; further ones are answered with 429",
        },
        Setting {
            name: "database_pool_size",
            value: "CONNECTIONS",
            default: "20",
            help: "Most connections to a store that is a server; etcd needs one to each member and takes no more",
        },
        Setting {
            name: "query_timeout",
            value: "SECONDS",
            default: "5.0",
            help: "Time that the store has for each change, and a query for a min_resource_version, in seconds; then the \
                   request is answered with 503",
        },
        Setting {
            name: "health_check_interval",
            value: "SECONDS",
            default: "1",
            help: "Time between two looks at the health of all agents, in seconds",
        },
        Setting {
            name: "retention",
            value: "SECONDS",
            default: "3600",
            help: "Time that expired agents are kept, in seconds; also how long a fleet that fell silent at once is waited for",
        },
        Setting {
            name: "agent_types",
            value: "YAML",
            default: "{}",
            help: "Thresholds of agents that set none, in seconds: {TYPE: {timeout_threshold: N, eviction_threshold: N}}; \
                   shipped are file-agent 90/180, worker 45/90, critical 30/60",
        },
        Setting {
            name: "max_document_bytes",
            value: "BYTES",
            default: "1048576",
            help: "Largest body of a request, in bytes",
        },
        Setting {
            name: "drain_timeout",
            value: "SECONDS",
            default: "5",
            help: "Time that open requests have to finish when the registry is told to stop, in seconds",
        },
    ],
};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where registrations are kept.
    pub store: StoreUrl,
    /// How long clients may keep a discovery answer.
    pub cache_ttl: Duration,
    /// Most answers that are kept to be given again.
    pub max_cache_size: usize,
    /// Most changes that are kept for watchers.
    pub watch_history: usize,
    /// Most watches that are open at the same time.
    pub max_watchers: usize,
    /// Most connections to a store that is a server.
    pub database_pool_size: usize,
    /// How long the store has for each change, and a query for a revision to be reached.
    pub query_timeout: Duration,
    /// Time between two looks at the health of all agents.
    pub health_check_interval: Duration,
    /// How long expired agents are kept.
    pub retention: Duration,
    /// Thresholds of agents that set none.
    pub agent_types: AgentTypes,
    /// Largest body of a request.
    pub max_document_bytes: usize,
    /// How long open requests have to finish.
    pub drain_timeout: Duration,
}

impl Default for Config {
    /// The defaults of [`PROGRAM`], but in memory and on a free port of this machine: what a test or a demonstration
    /// starts from.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            store: StoreUrl::Memory,
            cache_ttl: Duration::from_secs(30),
            max_cache_size: 10_000,
            watch_history: 10_000,
            max_watchers: 20_000,
            database_pool_size: 20,
            query_timeout: Duration::from_secs(5),
            health_check_interval: Duration::from_secs(1),
            retention: Duration::from_secs(3_600),
            agent_types: AgentTypes::default(),
            max_document_bytes: 1_048_576,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Reads the settings. What is at fault is noted in `fields`, and the result is meaningless then.
    pub fn read(fields: &mut Fields<'_, '_>) -> Self {
        let fallback = Self::default();
        let patience = seconds(MIN_SECONDS);
        let any = seconds(0.0);
        let bytes = number(1.0, MAX_DOCUMENT_BYTES, "bytes");
        Self {
            listen: fields.required("listen", address).unwrap_or(fallback.listen),
            store: fields.required("store", parsed).unwrap_or(fallback.store),
            cache_ttl: fields.required("cache_ttl", &any).unwrap_or_default(),
            max_cache_size: fields.required("max_cache_size", count(0.0)).unwrap_or_default() as usize,
            watch_history: fields.required("watch_history", count(1.0)).unwrap_or_default() as usize,
            max_watchers: fields.required("max_watchers", count(0.0)).unwrap_or_default() as usize,
            database_pool_size: fields.required("database_pool_size", count(1.0)).unwrap_or_default()
                as usize,
            query_timeout: fields.required("query_timeout", &patience).unwrap_or_default(),
            health_check_interval: fields.required("health_check_interval", &patience).unwrap_or_default(),
            retention: fields.required("retention", &any).unwrap_or_default(),
            agent_types: fields.nested("agent_types", AgentTypes::read).unwrap_or_default(),
            max_document_bytes: fields.required("max_document_bytes", bytes).unwrap_or_default() as usize,
            drain_timeout: fields.required("drain_timeout", &any).unwrap_or_default(),
        }
    }
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = string(value)?;
    text.parse().map_err(|_| {
        format!("must be an IP address and a port such as 127.0.0.1:8000, got {}", quoted(&text))
    })
}

/// A number of things, at least `min`; a fraction counts as the whole number below it.
fn count(min: f64) -> impl Fn(&Value) -> Result<f64, String> {
    number(min, MAX_COUNT, "")
}

/// A duration in seconds, at least `min`.
fn seconds(min: f64) -> impl Fn(&Value) -> Result<Duration, String> {
    let number = number(min, MAX_SECONDS, "seconds");
    move |value| number(value).map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn load(arguments: &[&str]) -> Result<Config, mesh_daemon::settings::Stop> {
        let arguments = ["mesh-registry"].iter().chain(arguments).map(OsString::from);
        mesh_daemon::settings::load(&PROGRAM, arguments, Config::read)
    }

    #[test]
    fn the_table_and_the_defaults_say_the_same() {
        let config = load(&["--listen", "127.0.0.1:0", "--store", "memory:"]).unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn flags_set_what_they_say() {
        let types = "{batch: {timeout_threshold: 300, eviction_threshold: 900}}";
        let config =
            load(&["--retention", "0.5", "--agent-types", types, "--max-document-bytes", "10"]).unwrap();
        assert_eq!((config.retention, config.max_document_bytes), (Duration::from_millis(500), 10));
        assert_ne!(config.agent_types, AgentTypes::default());
    }

    #[test]
    fn every_fault_is_reported_and_an_unknown_store_with_the_known_ones() {
        let stop = load(&["--listen", "here", "--store", "etcd://h", "--query-timeout", "0"]).unwrap_err();
        let report = format!("{stop:?}");
        for said in ["127.0.0.1:8000", "file:DIRECTORY or etcd://", "query-timeout"] {
            assert!(report.contains(said), "{said} in {report}");
        }
    }
}
