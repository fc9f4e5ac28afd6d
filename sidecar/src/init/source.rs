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
use mesh_client::transport::{HttpTransport, Pieces, Transport};
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
        match self {
            Self::File(file) => self.within_limit(self.read_file(file)?),
            Self::Url(uri) => {
                let transport = HttpTransport::connecting_within(PATIENCE.1);
                let unset = |source| InitError::Unreachable { url: self.name(), source };
                self.fetch_over(&transport.map_err(unset)?, uri).await
            }
        }
    }

    fn read_file(&self, file: &str) -> Result<Vec<u8>, InitError> {
        let mut bytes = Vec::new();
        File::open(file)
            .and_then(|file| file.take(MAX_CARD as u64 + 1).read_to_end(&mut bytes))
            .map_err(|source| InitError::Unreadable { file: self.name(), source })?;
        Ok(bytes)
    }

    async fn fetch_over(&self, transport: &dyn Transport, uri: &Uri) -> Result<Vec<u8>, InitError> {
        let slow = || InitError::Slow { url: self.name(), limit: PATIENCE.0 };
        let asked = timeout(PATIENCE.0, self.ask(transport, uri)).await;
        self.within_limit(asked.unwrap_or_else(|_| Err(slow()))?)
    }

    async fn ask(&self, transport: &dyn Transport, uri: &Uri) -> Result<Vec<u8>, InitError> {
        let url = self.name();
        let unreachable = |source| InitError::Unreachable { url: url.clone(), source };
        let request = Request::get(uri).header(ACCEPT, "application/json, */*;q=0.5").body(Bytes::new());
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

    fn within_limit(&self, bytes: Vec<u8>) -> Result<Vec<u8>, InitError> {
        if bytes.len() <= MAX_CARD {
            return Ok(bytes);
        }
        Err(InitError::TooLarge { from: self.name(), limit: MAX_CARD })
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
    use futures_util::future::{BoxFuture, FutureExt as _};
    use futures_util::stream;
    use serde_json::json;

    use super::*;

    /// A server that answers with this.
    struct Scripted {
        status: u16,
        location: &'static str,
        body: fn() -> Pieces,
    }

    impl Transport for Scripted {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Pieces>, BoxError>> {
            let said = Response::builder().status(self.status).header(LOCATION, self.location);
            let answer = said.body((self.body)()).map_err(BoxError::from);
            assert_eq!(request.uri(), "http://h/card?x=1");
            std::future::ready(answer).boxed()
        }
    }

    async fn fetched(
        status: u16,
        location: &'static str,
        body: fn() -> Pieces,
    ) -> Result<Vec<u8>, InitError> {
        let source = read("http://h/card?x=1").unwrap();
        let Source::Url(uri) = &source else { panic!("{source:?}") };
        source.fetch_over(&Scripted { status, location, body }, uri).await
    }

    fn text(text: &'static str) -> Pieces {
        stream::iter([Ok(Bytes::from_static(text.as_bytes()))]).boxed()
    }

    /// An error of a registry, with a word that would change a terminal's colour.
    const OURS: &str = r#"{"status": "error", "error": "agent a\u001b has no card", "detail": "", "code": "card_not_found"}"#;

    fn endless() -> Pieces {
        stream::repeat_with(|| Ok(Bytes::from_static(&[b' '; 65_536]))).boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_card_is_read_within_its_limits() {
        assert_eq!(fetched(200, "", || text("{}")).await.unwrap(), b"{}");
        assert!(matches!(fetched(200, "", endless).await, Err(InitError::TooLarge { limit: 262_144, .. })));
        let whole = fetched(200, "", || endless().take(4).boxed()).await;
        assert_eq!(whole.unwrap().len(), MAX_CARD);
        let silent = fetched(200, "", || stream::pending().boxed()).await.unwrap_err().to_string();
        assert!(silent.contains("within 10 s") && silent.contains("download it"), "{silent}");
        let cut = fetched(200, "", || stream::iter([Err(BoxError::from("cut off"))]).boxed()).await;
        assert!(matches!(cut, Err(InitError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn an_address_that_has_no_card_says_what_it_has_and_is_not_followed() {
        let moved = fetched(302, "file:///etc/passwd", || text("")).await.unwrap_err().to_string();
        assert!(moved.contains("\"file:///etc/passwd\"") && moved.contains("not followed"), "{moved}");
        let refused = fetched(404, "", || text(OURS)).await.unwrap_err().to_string();
        assert!(refused.contains("answered 404: \"agent a\\u{1b} has no card\""), "{refused}");
        assert_eq!(
            fetched(500, "", || text("<html>")).await.unwrap_err().to_string(),
            "\"http://h/card\" answered 500"
        );
    }

    #[tokio::test]
    async fn a_file_is_read_within_its_limits() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("card.json");
        let source = Source::File(file.display().to_string());
        assert!(matches!(source.fetch().await, Err(InitError::Unreadable { .. })));
        std::fs::write(&file, vec![b' '; MAX_CARD]).unwrap();
        assert_eq!(source.fetch().await.unwrap().len(), MAX_CARD);
        std::fs::write(&file, vec![b' '; MAX_CARD + 1]).unwrap();
        assert!(matches!(source.fetch().await, Err(InitError::TooLarge { .. })));
        let endless = Source::File("/dev/zero".to_owned()).fetch().await;
        assert!(matches!(endless, Err(InitError::TooLarge { .. })));
    }

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
