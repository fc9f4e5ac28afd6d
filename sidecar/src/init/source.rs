//! Where a card comes from: a URL or a file, read within limits.

use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, LOCATION};
use http::{Request, Response, Uri};
use mesh_api::document::{quoted, string};
use mesh_api::error::ErrorBody;
use mesh_client::error::BoxError;
use mesh_client::transport::{HttpTransport, Pieces, Transport as _};
use serde_json::Value;
use tokio::time::timeout;

use super::fault::InitError;

/// Largest card, in bytes. Real ones have a few thousand.
const MAX_CARD: usize = 256 * 1024;
/// Time for the whole of it, and the part of that for connecting: it may be on the other side of the world.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Where a card comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// It is asked for.
    Url(Uri),
    /// It lies in a file.
    File(String),
}

impl Source {
    /// Reads what stands behind `--from`: whatever has `://` is a URL.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let text = string(value)?;
        if !text.contains("://") {
            return Ok(Self::File(text));
        }
        let rule = || format!("must be a file or an http: or https: URL, got {}", quoted(&text));
        let uri = text.parse::<Uri>().map_err(|_| rule())?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(rule)?;
        if authority.as_str().contains('@') {
            return Err("must not carry user info: download the card and name the file".to_owned());
        }
        if matches!(uri.scheme_str(), Some("http" | "https")) { Ok(Self::Url(uri)) } else { Err(rule()) }
    }

    /// What it is called in messages and in the manifest; a query may hold what is nobody else's business.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Url(uri) => quoted(uri.to_string().split('?').next().unwrap_or_default()),
            Self::File(file) => quoted(file),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// When it cannot be had, or is larger than a card can be.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, InitError> {
        let bytes = match self {
            Self::File(file) => self.read_file(file)?,
            Self::Url(uri) => {
                let slow = || InitError::Slow { url: self.name(), limit: PATIENCE.0 };
                timeout(PATIENCE.0, self.ask(uri)).await.unwrap_or_else(|_| Err(slow()))?
            }
        };
        if bytes.len() > MAX_CARD {
            return Err(InitError::TooLarge { from: self.name(), limit: MAX_CARD });
        }
        Ok(bytes)
    }

    fn read_file(&self, file: &str) -> Result<Vec<u8>, InitError> {
        let mut bytes = Vec::new();
        File::open(file)
            .and_then(|file| file.take(MAX_CARD as u64 + 1).read_to_end(&mut bytes))
            .map_err(|source| InitError::Unreadable { file: self.name(), source })?;
        Ok(bytes)
    }

    async fn ask(&self, uri: &Uri) -> Result<Vec<u8>, InitError> {
        let url = self.name();
        let unreachable = |source| InitError::Unreachable { url: url.clone(), source };
        let request = Request::get(uri).header(ACCEPT, "application/json, */*;q=0.5").body(Bytes::new());
        let transport = HttpTransport::connecting_within(PATIENCE.1).map_err(unreachable)?;
        let request = request.map_err(|fault| unreachable(fault.into()))?;
        let answer = transport.send(request).await.map_err(unreachable)?;
        let (status, to) = (answer.status(), answer.headers().get(LOCATION).cloned());
        if let Some(to) = to.filter(|_| status.is_redirection()) {
            return Err(InitError::Moved { url, to: String::from_utf8_lossy(to.as_bytes()).into_owned() });
        }
        let body = collect(answer).await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        let said = serde_json::from_slice::<ErrorBody>(&body).map(|body| body.error);
        Err(InitError::Refused { url, status: status.as_u16(), said: said.ok() })
    }
}

/// The body, or so much of it that it is too large.
async fn collect(answer: Response<Pieces>) -> Result<Vec<u8>, BoxError> {
    let mut pieces = answer.into_body();
    let mut body = Vec::new();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > MAX_CARD {
            break;
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Source, String> {
        Source::read(&json!(text))
    }

    #[test]
    fn a_source_is_a_file_or_a_plain_url() {
        for file in ["card.json", "/tmp/a:b", "C:\\x", "http:/x"] {
            assert_eq!(read(file), Ok(Source::File(file.to_owned())));
        }
        for url in ["http://h/x", "https://h:1/?format=server.json"] {
            assert!(matches!(read(url), Ok(Source::Url(_))), "{url}");
        }
        for bad in [
            "ftp://h/",
            "file:///etc/passwd",
            "http://u:p@h/",
            "https://u@h",
            "http://",
            "://",
            "http://a b/",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_shows_no_query_and_no_line_break() {
        assert_eq!(read("http://h/card?token=secret").unwrap().name(), "\"http://h/card\"");
        assert_eq!(read("a\nb").unwrap().name(), "\"a\\nb\"");
    }
}
