//! The thinnest proxy that hyper allows: passes every request on to one upstream over kept connections, both bodies as
//! streams. No routing, no limits, no retries, no time limits, no headers of its own.
//!
//! Whatever carries calls on this HTTP stack does at least this much, so it is what the sidecar is compared with. It runs
//! on the runtime that the sidecar runs on.

use std::ffi::OsStr;

use anyhow::Context as _;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;

use crate::serve::{Answered, serve};

/// The job under whose name this program is the thin proxy.
pub(crate) const JOB: &str = "thin-proxy";

type Upstream = Client<HttpConnector, Incoming>;

/// Serves for ever in front of the upstream at this `HOST:PORT`.
pub(crate) fn main(upstream: Option<&impl AsRef<OsStr>>) -> anyhow::Result<()> {
    let upstream = upstream.and_then(|upstream| upstream.as_ref().to_str());
    let authority = upstream.context("the upstream of the thin proxy is not named")?.parse::<Authority>()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let service = service_fn(move |request| pass(client.clone(), authority.clone(), request));
    Runtime::new()?.block_on(serve(service))
}

async fn pass(
    client: Upstream,
    authority: Authority,
    mut request: Request<Incoming>,
) -> Answered<Either<Incoming, Empty<Bytes>>> {
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    (target.scheme, target.authority) = (Some(Scheme::HTTP), Some(authority));
    // A path that came with a request fits into a URL.
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    Ok(match client.request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(_) => {
            let mut refusal = Response::new(Either::Right(Empty::new()));
            *refusal.status_mut() = StatusCode::BAD_GATEWAY;
            refusal
        }
    })
}
