//! The agent's localhost port: calls take the straight way, everything else goes through the router.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt as _;

use crate::api::body::ReplyBody;
use crate::api::state::State;
use crate::target;

pub mod call;
pub mod discovery;
pub mod endpoint;
pub mod explain;
pub mod mcp;
pub mod proxy;
pub mod status;

pub mod guard;

pub mod reply;

pub mod state;

pub mod linger;

pub mod body;

pub mod events;

pub mod relay;

/// The service behind the agent's localhost port.
#[derive(Clone)]
pub struct Api {
    state: Arc<State>,
    router: Router,
}

impl Api {
    /// Serves with what `state` holds.
    pub fn new(state: Arc<State>) -> Self {
        let router = Router::new()
            .route("/explain/{capability}", get(explain::explain))
            .route("/agents", get(discovery::agents))
            .route("/agents/{id}", get(discovery::agent))
            .route("/capabilities", get(discovery::capabilities))
            .route("/livez", get(status::livez))
            .route("/readyz", get(status::readyz))
            .route("/metrics", get(status::metrics))
            .route("/", get(status::card))
            .fallback(reply::no_route)
            .method_not_allowed_fallback(reply::no_method_of_router)
            .with_state(Arc::clone(&state));
        Self { state, router }
    }
}

impl hyper::service::Service<Request<Incoming>> for Api {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, Infallible>> + Send>>;

    /// Calls take the straight way; everything else goes through the router. Each way has a future of its own, because one
    /// for all would be as large as the largest, and is moved for every request.
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if let Err(refusal) = guard::check(&request) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let path = request.uri().path();
        let state = Arc::clone(&self.state);
        if path.starts_with(call::PATH) {
            return Box::pin(async move { Ok(call::serve(&state, request).await) });
        }
        if path.starts_with(proxy::PATH) {
            return Box::pin(async move { Ok(proxy::serve(&state, request).await) });
        }
        if path.trim_end_matches('/') == mcp::PATH {
            return Box::pin(async move { Ok(mcp::serve(&state, request).await) });
        }
        if target::agent_of(path).is_some() {
            return Box::pin(async move { Ok(endpoint::serve(&state, request).await) });
        }
        let router = self.router.clone();
        Box::pin(async move {
            let response = router.oneshot(request.map(Body::new)).await;
            response.map(|response| response.map(ReplyBody::Other))
        })
    }
}
