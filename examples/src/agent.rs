//! The agent's life: bind, serve MCP at `/mcp` and health at `/health`, stop. `DELETE /tools/{name}` takes a tool away
//! while the agent runs and `PUT` puts it back, to see how others learn of it.
//!
//! The binary and the tests call this. What the tools do is not its business.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::serve::ListenerExt as _;
use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::shelf::Shelf;
use crate::tools::Tools;

/// The revision of the protocol that has no handshake.
const CURRENT: &str = "2026-07-28";

/// How an agent behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The name in its answers, which shows who served a call.
    pub name: String,
    /// Whether clients of the older protocol revisions get a session; the current revision has none.
    pub session: bool,
    /// Whether answers are event streams rather than JSON.
    pub sse: bool,
    /// Time added to each call.
    pub latency: Duration,
    /// Whether it speaks the older protocol revisions only.
    pub older: bool,
    /// Tools that are not offered.
    pub without: Vec<String>,
}

/// An agent that has its port and does not answer yet.
#[derive(Debug)]
pub struct Agent {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
}

impl Agent {
    /// Takes the port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, options })
    }

    /// Where MCP clients reach it.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Serves until `stop` is cancelled, then finishes the calls in flight.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, stop: CancellationToken) -> io::Result<()> {
        let config = self.config(&stop);
        let shelf = Shelf::without(self.options.without);
        let tools = Tools::new(&self.options.name, self.options.latency, shelf.clone());
        let router = if self.options.session {
            routes(tools, Arc::new(LocalSessionManager::default()), config)
        } else {
            routes(tools, Arc::new(NeverSessionManager::default()), config)
        };
        let router = router.merge(changes(shelf));
        let router = if self.options.older { router.layer(from_fn(refuse_current)) } else { router };
        // Without TCP_NODELAY the second small packet of an event stream waits some 40 ms for an acknowledgement.
        // A socket that refuses the option still works, only slower.
        let listener = self.listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    fn config(&self, stop: &CancellationToken) -> StreamableHttpServerConfig {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(self.options.session)
            .with_json_response(!self.options.sse)
            .with_cancellation_token(stop.child_token());
        // The SDK answers 403 unless the Host is a loopback name. That is right for a developer's machine, where a web
        // page could reach the port through DNS; on a network peers come by service name or pod address.
        if self.address.ip().is_loopback() { config } else { config.disable_allowed_hosts() }
    }
}

/// Every route of the agent.
fn routes<S: SessionManager>(tools: Tools, sessions: Arc<S>, config: StreamableHttpServerConfig) -> Router {
    let mcp = StreamableHttpService::new(move || Ok(tools.clone()), sessions, config);
    Router::new().route_service("/mcp", mcp).route("/health", get(|| async { "healthy\n" }))
}

/// Takes tools away and puts them back.
fn changes(shelf: Shelf) -> Router {
    let change = |is_offered: bool| {
        let shelf = shelf.clone();
        move |Path(name): Path<String>| async move { shelf.set(&name, is_offered) }
    };
    Router::new().route("/tools/{name}", put(change(true)).delete(change(false)))
}

/// Treats the current revision as a server does that has never heard of it.
async fn refuse_current(request: Request, next: Next) -> Response {
    let is_current = request.headers().get("mcp-protocol-version").is_some_and(|version| version == CURRENT);
    if is_current { StatusCode::BAD_REQUEST.into_response() } else { next.run(request).await }
}
