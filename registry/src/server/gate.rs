//! The gate before the routes: until the catalog is filled there are none, and whoever comes is told to try again.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use mesh_api::error::{Code, ErrorBody};
use mesh_api::route;

type Routes = TowerToHyperService<Router>;

/// The gate before the routes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<OnceLock<Routes>>);

impl Gate {
    /// Lets everybody through to the routes.
    pub(super) fn open(&self, router: Router) {
        // Nobody opens it twice.
        let _ = self.0.set(TowerToHyperService::new(router));
    }
}

impl Service<Request<Incoming>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Either<<Routes as Service<Request<Incoming>>>::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        match self.0.get() {
            Some(routes) => Either::Left(routes.call(request)),
            None => Either::Right(ready(Ok(starting(request.uri().path())))),
        }
    }
}

/// The answer of a registry that is starting: it is alive, and nothing else.
fn starting(path: &str) -> Response<Body> {
    let is_alive = path == route::LIVEZ;
    let words = "the registry is reading what its store holds, try again";
    let body = if is_alive {
        r#"{"status":"alive"}"#.to_owned()
    } else {
        // Texts have no way not to become JSON.
        serde_json::to_string(&ErrorBody::new(Code::Unavailable, words.to_owned())).unwrap_or_default()
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !is_alive {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
