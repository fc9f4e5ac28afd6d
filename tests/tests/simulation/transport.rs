//! Requests over the simulated network, one connection each: those of a sidecar to its registry, and those of callers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyDataStream, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_client::error::BoxError;
use mesh_client::transport::{Pieces, Transport};
use tokio::time::timeout;

use crate::host::Host;

/// Time for connecting to a registry, as over the network of a real host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Carries requests from a host.
pub(crate) struct FromHost(pub(crate) Host);

/// Sends a request to an address, and returns the answer once its head is there.
pub(crate) async fn send(
    host: &Host,
    to: SocketAddr,
    mut request: Request<Bytes>,
) -> Result<Response<Incoming>, BoxError> {
    let stream = timeout(CONNECT_TIMEOUT, host.open(to)).await??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    host.spawn(async move { drop(connection.await) });
    let authority = HeaderValue::from_str(&to.to_string())?;
    request.headers_mut().entry(HOST).or_insert(authority);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    Ok(sender.send_request(request.map(Full::new)).await?)
}

fn address(uri: &Uri) -> Option<SocketAddr> {
    let ip: IpAddr = uri.host()?.parse().ok()?;
    Some(SocketAddr::new(ip, uri.port_u16()?))
}

impl Transport for FromHost {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Pieces>, BoxError>> {
        let host = self.0.clone();
        Box::pin(async move {
            let to = address(request.uri()).ok_or("no address")?;
            let response = send(&host, to, request).await?;
            Ok(response.map(|body| BodyDataStream::new(body).map_err(BoxError::from).boxed()))
        })
    }
}
