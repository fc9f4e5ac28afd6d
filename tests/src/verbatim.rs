//! An MCP agent that keeps every byte: it shows the requests as they came, and answers with a text that no JSON library would
//! write.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use mesh_daemon::listen::Listener;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Members of each of its results, as they are sent.
pub const RESULT: &str = r#""content":[ {"type":"text","text":"\u00e4","future" : 1e2} ],"x":{"b":1.50,"b":[ ],"a":null},"n":18446744073709551616"#;

/// A running agent.
#[derive(Debug)]
pub struct VerbatimAgent {
    /// Where it is.
    pub address: SocketAddr,
    called: Arc<Mutex<String>>,
    _stop: DropGuard,
}

impl VerbatimAgent {
    /// Starts one of the current revision, or of an older one.
    pub async fn start(is_current: bool) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let (address, stop) = (listener.local_addr(), CancellationToken::new());
        let called = Arc::new(Mutex::default());
        let calls = Arc::clone(&called);
        let service =
            hyper::service::service_fn(move |request| serve(Arc::clone(&calls), is_current, request));
        tokio::spawn(listener.serve(service, stop.clone(), Duration::ZERO));
        Self { address, called, _stop: stop.drop_guard() }
    }

    /// The URL of its MCP endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The body of the last call, as it came.
    pub fn called(&self) -> String {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    called: Arc<Mutex<String>>,
    is_current: bool,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match (asked["method"].as_str().unwrap_or_default(), is_current) {
        ("server/discover", true) => r#""supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}"#,
        ("initialize", false) => {
            r#""protocolVersion":"2025-03-26","capabilities":{"tools":{}},"serverInfo":{"name":"v","version":"1"}"#
        }
        ("tools/call", _) => {
            *called.lock().unwrap_or_else(PoisonError::into_inner) =
                String::from_utf8_lossy(&body).into_owned();
            RESULT
        }
        _ => "",
    };
    let id = &asked["id"];
    let (status, text) = match result {
        "" => (
            StatusCode::BAD_REQUEST,
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600,"message":"no"}}}}"#),
        ),
        result => (StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{result}}}}}"#)),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}
