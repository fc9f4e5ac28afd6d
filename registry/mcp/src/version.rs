//! The revisions of the protocol.

/// The current, stateless revision.
pub const CURRENT: &str = "2026-07-28";
/// The newest revision that opens with `initialize`; what we ask of a server that is not current.
pub const NEWEST_WITH_HANDSHAKE: &str = "2025-11-25";
/// The one revision whose clients may send several messages at once.
pub const WITH_BATCHES: &str = "2025-03-26";
/// The first revision in which a client names the negotiated version in a header.
const FIRST_WITH_VERSION_HEADER: &str = "2025-06-18";

/// Every revision that a server of ours speaks, newest first.
pub const SPOKEN: [&str; 5] =
    [CURRENT, NEWEST_WITH_HANDSHAKE, FIRST_WITH_VERSION_HEADER, WITH_BATCHES, "2024-11-05"];

/// Whether requests after the handshake carry the version in a header. Revisions are dates, so they sort as text.
pub fn has_version_header(revision: &str) -> bool {
    revision >= FIRST_WITH_VERSION_HEADER
}

/// Whether `revision` is one that opens with `initialize`.
pub fn has_handshake(revision: &str) -> bool {
    SPOKEN.contains(&revision) && revision != CURRENT
}
