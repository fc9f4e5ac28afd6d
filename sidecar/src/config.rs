//! The sidecar's settings: where they are declared, with their defaults, and what they are read into.

mod values;

use std::net::SocketAddr;
use std::time::Duration;

use mesh_api::document::{Fields, parsed, text, word};
use mesh_api::label;
use mesh_daemon::settings::{Program, Setting};

use self::values::{loopback, networks, registries, seconds, whole};
use crate::access::AccessLog;
use crate::cache::slot::Ages;
use crate::destination::Destinations;
use crate::keeper::Mode;
use crate::patience::{Limits, Pace};

/// The binary and everything that can be set.
pub const PROGRAM: Program = Program {
    name: "mesh-sidecar",
    env_prefix: "MESH_SIDECAR",
    about: "The proxy beside each agent: registers it, finds providers, balances, retries what is safe.",
    version: env!("CARGO_PKG_VERSION"),
    commands: &[],
    settings: &[
        Setting {
            name: "manifest",
            value: "FILE",
            default: "",
            help: "Manifest of the agent beside us: id, endpoint and 'capabilities: auto' are enough; without one the sidecar only makes calls",
        },
        Setting {
            name: "registry",
            value: "URL[,URL...]",
            default: "http://127.0.0.1:8000",
            help: "The registry, or several that share a store: one drawn at random is asked, the others while that is out or slow",
        },
        Setting {
            name: "listen",
            value: "ADDR",
            default: "127.0.0.1:15001",
            help: "The agent's localhost port, on a loopback address; port 0 takes a free one",
        },
        Setting {
            name: "inbound",
            value: "ADDR",
            default: "",
            help: "Port for peers' calls of our agent, which are then limited, timed and drained here; off when empty, port 0 takes a free one",
        },
        Setting {
            name: "max_inbound",
            value: "N",
            default: "256",
            help: "Peers' requests that our agent works on at once at most, streams included; more are refused with 429",
        },
        Setting {
            name: "namespace",
            value: "NAME",
            default: "default",
            help: "Namespace of calls when there is no manifest",
        },
        Setting {
            name: "call_timeout",
            value: "SECONDS",
            default: "60",
            help: "Time for a call that names none, retries included",
        },
        Setting { name: "max_body", value: "BYTES", default: "16777216", help: "Largest body of a call" },
        Setting {
            name: "stream_idle_timeout",
            value: "SECONDS",
            default: "300",
            help: "Silence of a provider that ends a streamed answer",
        },
        Setting { name: "stream_max", value: "SECONDS", default: "3600", help: "Longest streamed answer" },
        Setting {
            name: "keep_alive",
            value: "SECONDS",
            default: "15",
            help: "Silence after which a stream of events gets a comment, so that nobody takes it for dead",
        },
        Setting {
            name: "access_log",
            value: "WHICH",
            default: "trouble",
            help: "Calls that have a line in the log: off, trouble (failed or repeated) or all",
        },
        Setting {
            name: "allow_endpoints",
            value: "CIDR[,CIDR...]",
            default: "",
            help: "Networks that providers may be in; all when empty, but for link-local, metadata and multicast addresses",
        },
        Setting {
            name: "deny_endpoints",
            value: "CIDR[,CIDR...]",
            default: "",
            help: "Networks that providers must not be in; has the last word",
        },
        Setting {
            name: "zone",
            value: "NAME",
            default: "",
            help: "Where this sidecar is; default: the agent's label topology.kubernetes.io/zone or zone",
        },
        Setting {
            name: "discovery",
            value: "MODE",
            default: "poll",
            help: "How changes are learned: poll (asked when used and old) or watch (the registry tells)",
        },
        Setting {
            name: "discovery_file",
            value: "FILE",
            default: "",
            help: "Where to remember who offers what, for a start while the registry is away",
        },
        Setting {
            name: "connect_timeout",
            value: "SECONDS",
            default: "1",
            help: "Time for one connection to a provider",
        },
        Setting {
            name: "registry_timeout",
            value: "SECONDS",
            default: "5",
            help: "Time for one request to a registry",
        },
        Setting {
            name: "max_retries",
            value: "N",
            default: "2",
            help: "Repeats of one call at most; only what is safe is repeated",
        },
        Setting {
            name: "max_in_flight",
            value: "N",
            default: "1024",
            help: "Calls in flight at most; more are refused with 429",
        },
        Setting {
            name: "discovery_fresh",
            value: "SECONDS",
            default: "10",
            help: "Age up to which a discovery answer is used as it is",
        },
        Setting {
            name: "discovery_aging",
            value: "SECONDS",
            default: "60",
            help: "Age up to which it is used while it is refreshed behind",
        },
        Setting {
            name: "discovery_stale",
            value: "SECONDS",
            default: "86400",
            help: "Age up to which it is used while the registry is away",
        },
        Setting {
            name: "discovery_patience",
            value: "SECONDS",
            default: "2",
            help: "Time that a call waits for the registry",
        },
        Setting {
            name: "drain_timeout",
            value: "SECONDS",
            default: "25",
            help: "Time for calls in flight to end after SIGTERM",
        },
    ],
};

/// Age up to which nobody offering a capability is believed.
const NEGATIVE: Duration = Duration::from_secs(2);

/// What the settings say.
#[derive(Debug, Clone)]
pub struct Config {
    /// File of the manifest.
    pub manifest: Option<String>,
    /// Addresses of the registries.
    pub registries: Vec<String>,
    /// The agent's localhost port.
    pub listen: SocketAddr,
    /// The port for peers' calls of our agent.
    pub inbound: Option<SocketAddr>,
    /// Peers' requests that our agent works on at once at most.
    pub max_inbound: u32,
    /// Namespace of calls when there is no manifest.
    pub namespace: String,
    /// Time for a call that names none.
    pub call_timeout: Duration,
    /// Largest body of a call, in bytes.
    pub max_body: usize,
    /// How streamed answers are treated.
    pub pace: Pace,
    /// Which calls have a line in the log.
    pub access_log: AccessLog,
    /// Where providers may be.
    pub destinations: Destinations,
    /// Where this sidecar is.
    pub zone: Option<String>,
    /// How changes are learned.
    pub mode: Mode,
    /// Where to remember who offers what.
    pub discovery_file: Option<String>,
    /// Time for one connection to a provider.
    pub connect_timeout: Duration,
    /// Time for one request to a registry.
    pub registry_timeout: Duration,
    /// Repeats of one call at most.
    pub max_retries: u32,
    /// Calls in flight at most.
    pub max_in_flight: usize,
    /// How old discovery answers may be.
    pub ages: Ages,
    /// Time for calls in flight to end after SIGTERM.
    pub drain_timeout: Duration,
}

impl Config {
    /// Reads the settings. The result is meaningless after a fault.
    pub fn read(fields: &mut Fields<'_, '_>) -> Self {
        let listen =
            fields.required("listen", loopback).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let registries = fields.required("registry", registries).unwrap_or_default();
        let namespace =
            fields.required("namespace", word("a DNS label", label::is_dns_label)).unwrap_or_default();
        let config = Self {
            manifest: fields.optional("manifest", text(1, 4_096)),
            registries,
            listen,
            inbound: fields.optional("inbound", parsed),
            max_inbound: whole(fields, "max_inbound", 1, 1_000_000) as u32,
            namespace,
            call_timeout: seconds(fields, "call_timeout", 0.001, 3_600.0),
            max_body: whole(fields, "max_body", 1, 1 << 30) as usize,
            pace: Pace {
                limits: Limits {
                    idle: seconds(fields, "stream_idle_timeout", 0.001, 86_400.0),
                    longest: seconds(fields, "stream_max", 0.001, 604_800.0),
                },
                keep_alive: seconds(fields, "keep_alive", 0.001, 3_600.0),
            },
            access_log: fields.required("access_log", parsed).unwrap_or_default(),
            destinations: Destinations::new(
                fields.optional("allow_endpoints", networks).unwrap_or_default(),
                fields.optional("deny_endpoints", networks).unwrap_or_default(),
            ),
            zone: fields.optional("zone", text(1, 63)),
            mode: fields.required("discovery", parsed).unwrap_or_default(),
            discovery_file: fields.optional("discovery_file", text(1, 4_096)),
            connect_timeout: seconds(fields, "connect_timeout", 0.001, 60.0),
            registry_timeout: seconds(fields, "registry_timeout", 0.001, 60.0),
            max_retries: whole(fields, "max_retries", 0, 10) as u32,
            max_in_flight: whole(fields, "max_in_flight", 1, 1_000_000) as usize,
            ages: Ages {
                fresh: seconds(fields, "discovery_fresh", 0.0, 3_600.0),
                negative: NEGATIVE,
                aging: seconds(fields, "discovery_aging", 0.0, 86_400.0),
                stale: seconds(fields, "discovery_stale", 0.0, 604_800.0),
                patience: seconds(fields, "discovery_patience", 0.001, 60.0),
            },
            drain_timeout: seconds(fields, "drain_timeout", 0.0, 3_600.0),
        };
        let ages = config.ages;
        if ages.fresh > ages.aging || ages.aging > ages.stale {
            fields.fault("discovery_aging", "must lie between discovery_fresh and discovery_stale");
        }
        config
    }
}
