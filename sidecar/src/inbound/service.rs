//! One request of a peer, top to bottom: limits -> admission -> our agent -> its answer as it comes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::local::{Asked, LocalAgent, Said};
use super::refusal::Refusal;
use crate::access::AccessLog;
use crate::admission::Admission;
use crate::api::body::{Occupied, ReplyBody};
use crate::api::guard;
use crate::api::linger::{admit, linger};
use crate::api::relay::Relay;
use crate::config::Config;
use crate::metrics::{ANSWERED, Metrics};
use crate::passport::{self, Passport};
use crate::patience::Limits;
use crate::replay::Replay;

/// The service behind the port for peers.
#[derive(Clone)]
pub struct Inbound(Arc<Shared>);

struct Shared {
    agent: LocalAgent,
    admission: Admission,
    /// Time for requests that name none.
    time: Duration,
    max_body: usize,
    limits: Limits,
    /// Cancelled as soon as we know that we will go.
    leaving: CancellationToken,
    metrics: Arc<Metrics>,
    access_log: AccessLog,
}

/// Who asks, for the log.
struct Visitor {
    caller: String,
    passport: Passport,
}

// === impl Inbound ===

impl Inbound {
    /// Passes peers' requests to `agent`, and asks for no more of them on the same connection once `leaving` is cancelled.
    pub fn new(
        config: &Config,
        agent: LocalAgent,
        leaving: CancellationToken,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            agent,
            admission: Admission::new(config.max_inbound, Arc::clone(&metrics)),
            time: config.call_timeout,
            max_body: config.max_body,
            limits: config.pace.limits,
            leaving,
            metrics,
            access_log: config.access_log,
        }))
    }

    /// Closes connections to our agent that were not used for a while.
    pub fn sweep(&self) {
        self.0.agent.sweep();
    }

    /// Refuses whoever comes from now on, and waits until our agent has answered the others.
    pub async fn close(&self) {
        self.0.admission.close().await;
    }
}

impl hyper::service::Service<Request<Incoming>> for Inbound {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { Ok(shared.serve(request).await) })
    }
}

// === impl Shared ===

impl Shared {
    async fn serve(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let (began, version, mut visitor) = (Instant::now(), request.version(), None);
        let outcome = self.pass_on(request, began, &mut visitor).await;
        let label = outcome.as_ref().map_or_else(Refusal::label, |_| ANSWERED);
        let took = began.elapsed();
        self.metrics.inbound.ended(label);
        if outcome.is_ok() {
            self.metrics.inbound.answered(took);
        }
        if let Some(Visitor { caller, passport }) = visitor {
            self.access_log.write_inbound(&caller, &passport, label, took);
        }
        let mut response = outcome.unwrap_or_else(Refusal::into_response);
        // Peers keep connections for a while: a request that came on one just as we close it would be lost half-sent.
        if self.leaving.is_cancelled() && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn pass_on(
        &self,
        request: Request<Incoming>,
        began: Instant,
        visitor: &mut Option<Visitor>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        if guard::is_of_web_page(request.headers()) {
            return Err(Refusal::WebPage);
        }
        if request.method() == Method::CONNECT {
            return Err(Refusal::Tunnel);
        }
        let (head, body) = request.into_parts();
        let passport = Passport::read(&head.headers, None)?;
        let time = passport.timeout.unwrap_or(self.time);
        *visitor = Some(Visitor { caller: passport::caller(&head.headers).to_owned(), passport });
        let body = admit(body, self.max_body)?;
        let guest = match self.admission.enter() {
            Ok(guest) => guest,
            Err(turned) => {
                linger(body);
                return Err(turned.into());
            }
        };
        let body = (!body.is_end_stream()).then(|| Replay::once(body, self.max_body));
        let asked = Asked { head, body: body.as_ref(), deadline: began + time };
        match self.agent.answer(asked).await {
            Ok(answer) => {
                let (head, said) = answer.into_parts();
                let guest = Occupied::Guest(guest);
                let body = match said {
                    Said::Http(content) => ReplyBody::Relayed(Relay::new(content, self.limits), guest),
                    Said::Told(body) => ReplyBody::Told(Box::new(body), guest),
                };
                Ok(Response::from_parts(head, body))
            }
            Err(fault) => {
                body.and_then(|body| body.take_rest()).into_iter().for_each(linger);
                Err(Refusal::of(fault, time, self.agent.place()))
            }
        }
    }
}
