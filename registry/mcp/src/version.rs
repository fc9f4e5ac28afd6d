//! The revisions of the protocol.

/// The current, stateless revision.
pub const CURRENT: &str = "2026-07-28";
/// The newest revision that opens with `initialize`; what we ask of a server that is not current.
pub const NEWEST_WITH_HANDSHAKE: &str = "2025-11-25";
/// The first revision in which a client names the negotiated version in a header.
const FIRST_WITH_VERSION_HEADER: &str = "2025-06-18";

/// Whether requests after the handshake carry the version in a header. Revisions are dates, so they sort as text.
pub fn has_version_header(revision: &str) -> bool {
    revision >= FIRST_WITH_VERSION_HEADER
}
