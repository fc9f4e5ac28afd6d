//! The requests that a sidecar makes of a registry.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};
use mesh_api::agent::{Registered, Registration, Unregistered};
use mesh_api::error::Code;
use mesh_api::heartbeat::{Heartbeat, HeartbeatAnswer};
use mesh_api::page::{AgentPage, CapabilityPage};
use mesh_api::query::{AgentQuery, CapabilityQuery, Watch};
use mesh_api::route;
use rand::RngExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::changes::Changes;
use crate::dice::Dice;
use crate::error::ClientError;
use crate::exchange::{self, Answer, Registry};
use crate::rota::Rota;
use crate::transport::{HttpTransport, Transport};

/// Time without an answer after which a question is put to another registry as well: a hundred times what one takes that
/// is well.
const SLOW: Duration = Duration::from_millis(300);

/// What a request does at a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It asks, and may ask two registries at once.
    Read,
    /// It changes something, or waits on purpose.
    Other,
}

/// A client of one registry, or of several that lead to the same store. Cheap to clone.
///
/// Each client has one of them for its home, drawn at random, so that many clients spread over all. The home is asked, and
/// the next one when it is out; a question is also put to the next one when the home takes long. Whoever answered in place
/// of the home is asked for a while.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    registries: Arc<[Registry]>,
    rota: Arc<Rota>,
    timeout: Duration,
}

/// What was found, and the tag by which it can be asked for again.
#[derive(Debug)]
pub struct Finding<P> {
    /// What was found.
    pub page: P,
    /// Its entity tag.
    pub tag: Option<String>,
}

impl Client {
    /// A client of the registries at `addresses`; every request takes at most `timeout` a registry.
    ///
    /// # Errors
    /// When an address is no HTTP address, or the HTTP client cannot be set up.
    pub fn new(addresses: &[String], timeout: Duration) -> Result<Self, ClientError> {
        let transport = HttpTransport::new().map_err(ClientError::Setup)?;
        Self::over(Arc::new(transport), addresses, timeout)
    }

    /// The same over another transport than the network of this host.
    ///
    /// # Errors
    /// When an address is no HTTP address.
    pub fn over(
        transport: Arc<dyn Transport>,
        addresses: &[String],
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let registries =
            addresses.iter().map(|address| Registry::at(address)).collect::<Result<Arc<[_]>, _>>()?;
        let home = Dice.random_range(0..registries.len().max(1));
        Ok(Self { transport, registries, rota: Arc::new(Rota::of(home)), timeout })
    }

    /// Registers an agent, or replaces its registration. Durable once it returns.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn register(&self, registration: &Registration) -> Result<Registered, ClientError> {
        self.send(Purpose::Other, Method::POST, route::AGENTS, body(registration)).await?.json()
    }

    /// Says that an agent is alive.
    ///
    /// # Errors
    /// [`ClientError`]; the code [`Code::AgentNotFound`] asks to register again.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, ClientError> {
        let mut turns = 1..=self.registries.len();
        loop {
            let answer = self.send(Purpose::Other, Method::POST, route::HEARTBEAT, body(heartbeat)).await?;
            let heard: HeartbeatAnswer = answer.json()?;
            if !heard.degraded || turns.next().is_none_or(|turn| turn == self.registries.len()) {
                return Ok(heard);
            }
            // It has heard us, and cannot tell the others: one of those is told as well, and asked from now on.
            self.rota.passed(answer.index, self.registries.len(), Instant::now());
        }
    }

    /// Takes an agent out of the registry. An agent that is not there is as good as one taken out.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deregister(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("{}/{id}", route::AGENTS);
        let answer = self.send(Purpose::Other, Method::DELETE, &path, Vec::new()).await;
        match answer.and_then(|answer| answer.json::<Unregistered>()) {
            Err(fault) if fault.code() == Some(Code::AgentNotFound) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Finds capabilities and who offers them; `None` when the answer is still the one that `held` is the tag of.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn find(
        &self,
        query: &CapabilityQuery,
        held: Option<&str>,
    ) -> Result<Option<Finding<CapabilityPage>>, ClientError> {
        self.page(&format!("{}?{query}", route::CAPABILITIES), held).await
    }

    /// Finds agents, as [`Self::find`] finds capabilities.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn find_agents(
        &self,
        query: &AgentQuery,
        held: Option<&str>,
    ) -> Result<Option<Finding<AgentPage>>, ClientError> {
        self.page(&format!("{}?{query}", route::AGENTS), held).await
    }

    async fn page<P: DeserializeOwned>(
        &self,
        target: &str,
        held: Option<&str>,
    ) -> Result<Option<Finding<P>>, ClientError> {
        let held = held.and_then(|tag| HeaderValue::from_str(tag).ok());
        let answer = self
            .send_with(Purpose::Read, target, |registry| {
                let mut request = registry.request(Method::GET, target, Bytes::new())?;
                request.headers_mut().extend(held.clone().map(|tag| (IF_NONE_MATCH, tag)));
                Ok(request)
            })
            .await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let tag = answer.headers.get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Some(Finding { page: answer.json()?, tag }))
    }

    /// Watches what [`Self::find`] would find, from the change `since` on; see [`Changes`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch(&self, query: &CapabilityQuery, since: Option<u64>) -> Result<Changes, ClientError> {
        let query = CapabilityQuery { watch: Some(Watch { resource_version: since }), ..query.clone() };
        self.changes(&format!("{}?{query}", route::CAPABILITIES)).await
    }

    /// Watches what [`Self::find_agents`] would find, as [`Self::watch`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn watch_agents(&self, query: &AgentQuery, since: Option<u64>) -> Result<Changes, ClientError> {
        let query = AgentQuery { watch: Some(Watch { resource_version: since }), ..query.clone() };
        self.changes(&format!("{}?{query}", route::AGENTS)).await
    }

    async fn changes(&self, target: &str) -> Result<Changes, ClientError> {
        let mut last = None;
        for turn in self.rota.turns(self.registries.len(), Instant::now()) {
            let Some(registry) = self.registries.get(turn) else { continue };
            let request = registry.request(Method::GET, target, Bytes::new())?;
            match exchange::open(self.transport.as_ref(), request, registry, self.timeout).await {
                Err(fault) if fault.is_outage() => last = Some(fault),
                outcome => return outcome.map(|body| Changes::of(body, registry)),
            }
        }
        Err(last.unwrap_or_else(|| ClientError::Address(String::new())))
    }

    /// The registry's answer to a GET of `target`, a path with a query, byte for byte.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, target: &str) -> Result<Bytes, ClientError> {
        let purpose = if target.contains("min_resource_version") { Purpose::Other } else { Purpose::Read };
        self.send(purpose, Method::GET, target, Vec::new()).await.map(|answer| answer.body)
    }

    async fn send(
        &self,
        purpose: Purpose,
        method: Method,
        target: &str,
        body: Vec<u8>,
    ) -> Result<Answer, ClientError> {
        let body = Bytes::from(body);
        self.send_with(purpose, target, |registry| {
            let mut request = registry.request(method.clone(), target, body.clone())?;
            if !body.is_empty() {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            Ok(request)
        })
        .await
    }

    /// Sends the request to the registry whose turn it is, and to the next one when that is out. A question is put to
    /// one more after a while without an answer, and the first answer counts.
    async fn send_with(
        &self,
        purpose: Purpose,
        target: &str,
        request: impl Fn(&Registry) -> Result<Request<Bytes>, ClientError>,
    ) -> Result<Answer, ClientError> {
        let mut turns = self.rota.turns(self.registries.len(), Instant::now());
        let (mut asked, mut last) = (FuturesUnordered::new(), None);
        let mut may_ask_more = purpose == Purpose::Read;
        loop {
            if let Some((index, registry)) =
                turns.next().and_then(|turn| Some((turn, self.registries.get(turn)?)))
            {
                let request = request(registry)?;
                let answer = exchange::send(self.transport.as_ref(), request, registry, self.timeout);
                asked.push(async move { (index, answer.await) });
            }
            let slow = async {
                if turns.len() == 0 || !may_ask_more {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(SLOW).await;
            };
            let answered = tokio::select! {
                // An answer counts, also one that comes at the moment when another registry would be asked.
                biased;
                answered = asked.next() => answered,
                () = slow => {
                    may_ask_more = false;
                    continue;
                }
            };
            match answered {
                Some((_, Err(fault))) if fault.is_outage() => last = Some(fault),
                Some((index, outcome)) => {
                    self.rota.answered(index, Instant::now());
                    return outcome.map(|answer| answer.of(index));
                }
                None => return Err(last.unwrap_or_else(|| ClientError::Address(target.to_owned()))),
            }
        }
    }
}

/// A document as a body. Ours consist of strings, numbers and JSON, so writing them has no way to fail.
fn body(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("registries", &self.registries).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http::header::RETRY_AFTER;
    use http_body_util::Full;
    use hyper::body::Incoming;
    use mesh_daemon::listen::Listener;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A registry that answers everything with one status and body.
    async fn registry(status: u16, body: &'static str) -> (String, CancellationToken) {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (address, stop) = (format!("http://{}", listener.local_addr()), CancellationToken::new());
        let service = hyper::service::service_fn(move |_: Request<Incoming>| async move {
            let answer = Response::builder().status(status).header(RETRY_AFTER, "7");
            Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).unwrap())
        });
        tokio::spawn(listener.serve(service, stop.clone(), Duration::ZERO));
        (address, stop)
    }

    fn client(addresses: &[&str]) -> Client {
        let addresses: Vec<_> = addresses.iter().map(|&address| address.to_owned()).collect();
        Client::new(&addresses, Duration::from_secs(5)).unwrap()
    }

    const GONE: &str = r#"{"status":"error","error":"Agent a not found","detail":"Agent a not found","code":"agent_not_found"}"#;
    const BUSY: &str =
        r#"{"status":"error","error":"store is away","detail":"store is away","code":"unavailable"}"#;

    const WELL: &str = r#"{"status":"success","timestamp":"2026-01-01T00:00:00Z","message":"heard","resource_version":1,"next_heartbeat_in":30}"#;
    const ALONE: &str = r#"{"status":"success","timestamp":"2026-01-01T00:00:00Z","message":"heard","resource_version":1,"next_heartbeat_in":30,"degraded":true}"#;

    #[tokio::test]
    async fn an_error_of_the_registry_is_typed() {
        let (address, _stop) = registry(404, GONE).await;
        let fault = client(&[&address]).get("/agents/a").await.unwrap_err();
        assert_eq!((fault.code(), fault.is_outage()), (Some(Code::AgentNotFound), false));
        assert!(client(&[&address]).deregister("a").await.is_ok());
    }

    #[tokio::test]
    async fn another_registry_is_asked_while_one_is_out() {
        let (busy, _stop) = registry(503, BUSY).await;
        let (well, _stop) = registry(200, "{}").await;
        let (gone, stop) = registry(200, "").await;
        stop.cancel();
        for _ in 0..10 {
            assert_eq!(client(&[&gone, &busy, &well]).get("/").await.unwrap(), "{}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_cannot_tell_the_others_is_not_the_only_one_to_hear() {
        let (alone, _stop) = registry(200, ALONE).await;
        let (well, _stop) = registry(200, WELL).await;
        let heartbeat = Heartbeat::from_value(&serde_json::json!({"agent_id": "a"})).unwrap();
        let degraded =
            async |addresses: &[&str]| client(addresses).heartbeat(&heartbeat).await.unwrap().degraded;
        for _ in 0..10 {
            assert!(!degraded(&[&alone, &well]).await && !degraded(&[&alone, &alone, &well]).await);
        }
        assert!(
            degraded(&[&alone, &alone]).await && degraded(&[&alone]).await,
            "one that hears is better than none"
        );
    }

    #[tokio::test]
    async fn clients_spread_over_the_registries() {
        let (one, _stop) = registry(200, "1").await;
        let (two, _stop) = registry(200, "2").await;
        let mut answers = std::collections::BTreeSet::new();
        for _ in 0..64 {
            answers.insert(client(&[&one, &two]).get("/").await.unwrap());
        }
        assert_eq!(answers.len(), 2);
    }

    #[tokio::test]
    async fn another_registry_is_asked_as_well_while_one_says_nothing() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_address = format!("http://{}", silent.local_addr().unwrap());
        let (well, _stop) = registry(200, "{}").await;
        let addresses = [silent_address, well];
        for _ in 0..10 {
            // An hour for each: only who does not wait for the silent one comes to an end.
            let client = Client::new(&addresses, Duration::from_secs(3_600)).unwrap();
            let answer = tokio::time::timeout(Duration::from_secs(20), client.get("/")).await;
            assert_eq!(answer.expect("an answer in time").unwrap(), "{}");
        }
    }

    #[tokio::test]
    async fn an_outage_says_when_to_ask_again_and_a_stranger_is_recognised() {
        let (busy, _stop) = registry(503, BUSY).await;
        let fault = client(&[&busy]).get("/").await.unwrap_err();
        assert_eq!(fault.retry_after(), Some(Duration::from_secs(7)));
        let (web, _stop) = registry(404, "<html>").await;
        let fault = client(&[&web]).get("/").await.unwrap_err();
        assert!(fault.to_string().contains("is not a registry's"), "{fault}");
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for address in ["", "registry:8000", "ftp://x", "http://x?y=1"] {
            assert!(Client::new(&[address.to_owned()], SLOW).is_err(), "{address}");
        }
    }
}
