//! The `store` setting: which engine, and where.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use http::uri::Authority;
use mesh_api::document::quoted;

/// Which engine keeps the registrations, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// Nowhere: gone with the process.
    Memory,
    /// In this directory.
    File(PathBuf),
    /// In etcd, shared with other registries.
    Etcd(Endpoints),
}

/// The members of a cluster, each a host and a port; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints(Arc<[String]>);

/// Why a text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be memory:, file:DIRECTORY or etcd://HOST:PORT,HOST:PORT, got {}", quoted(.0))]
pub struct UnknownStore(String);

impl FromStr for StoreUrl {
    type Err = UnknownStore;

    fn from_str(text: &str) -> Result<Self, UnknownStore> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("file", directory)) if !directory.trim_matches('/').is_empty() => {
                let local = directory.strip_prefix("//").filter(|path| path.starts_with('/'));
                Ok(Self::File(local.unwrap_or(directory).into()))
            }
            Some(("etcd", endpoints)) => endpoints
                .strip_prefix("//")
                .and_then(Endpoints::read)
                .map(Self::Etcd)
                .ok_or_else(|| UnknownStore(text.to_owned())),
            _ => Err(UnknownStore(text.to_owned())),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(directory) => write!(f, "file:{}", directory.display()),
            Self::Etcd(Endpoints(endpoints)) => write!(f, "etcd://{}", endpoints.join(",")),
        }
    }
}

// === impl Endpoints ===

impl Endpoints {
    /// Hosts with ports, between commas.
    fn read(text: &str) -> Option<Self> {
        let endpoints = text.trim_end_matches('/').split(',').map(endpoint);
        endpoints.collect::<Option<Vec<_>>>().map(|endpoints| Self(endpoints.into()))
    }
}

fn endpoint(text: &str) -> Option<String> {
    let authority = text.trim().parse::<Authority>().ok()?;
    let is_named = !authority.host().is_empty() && !text.contains('@');
    (is_named && authority.port_u16().is_some_and(|port| port > 0)).then(|| authority.to_string())
}

impl AsRef<[String]> for Endpoints {
    fn as_ref(&self) -> &[String] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_are_told_apart_by_their_scheme() {
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
        for (text, directory) in
            [("file:./data", "./data"), ("file:/var/x", "/var/x"), ("file:///var/x", "/var/x")]
        {
            assert_eq!(text.parse(), Ok(StoreUrl::File(directory.into())), "{text}");
        }
        let etcd = "etcd://a.b:2379,[::1]:1/".parse::<StoreUrl>().unwrap();
        assert_eq!(etcd.to_string(), "etcd://a.b:2379,[::1]:1");
    }

    #[test]
    fn an_unknown_store_is_refused_with_the_known_ones() {
        let etcds =
            ["etcd:h:1", "etcd://", "etcd://h", "etcd://h:0", "etcd://h:1,", "etcd://u@h:1", "etcd://h:1/x"];
        for text in ["", "memory", "memory:x", "file:", "file:/", "./data"].into_iter().chain(etcds) {
            let fault = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(fault.contains("memory:, file:DIRECTORY or etcd://"), "{text}: {fault}");
        }
    }
}
