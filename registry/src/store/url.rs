//! The `store` setting: which engine, and where.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use mesh_api::document::quoted;

/// Which engine keeps the registrations, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// Nowhere: gone with the process.
    Memory,
    /// In this directory.
    File(PathBuf),
}

/// Why a text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be memory: or file:DIRECTORY, got {}", quoted(.0))]
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
            _ => Err(UnknownStore(text.to_owned())),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(directory) => write!(f, "file:{}", directory.display()),
        }
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
    }

    #[test]
    fn an_unknown_store_is_refused_with_the_known_ones() {
        for text in ["", "memory", "memory:x", "file:", "file:/", "etcd://h:2379", "./data"] {
            let fault = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(fault.contains("memory: or file:DIRECTORY"), "{fault}");
        }
    }
}
