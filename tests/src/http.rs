//! An HTTP client that keeps connections and reads answers piece by piece, for tests of what streams.

use reqwest::{Client, Response};

/// A client.
pub fn client() -> Client {
    // Already installed is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::new()
}

/// GET of `url`.
///
/// # Panics
/// When there is no answer.
pub async fn get(url: impl AsRef<str>) -> Response {
    client().get(url.as_ref()).send().await.expect("an answer")
}
