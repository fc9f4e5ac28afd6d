//! The floor: a bare axum server that has the registry's answers in memory and sends them, and does nothing else.
//!
//! No registry on this HTTP stack can cost less, so it is what a registry is compared with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::question::Question;
use super::server::LISTENING;
use super::table::say;
use super::wire::{Base, Connection};

/// Answers by their targets.
#[derive(Debug, Default)]
pub struct Floor {
    answers: Answers,
}

/// Type and body by target.
type Answers = HashMap<String, (HeaderValue, Bytes)>;

/// Connections over which the floor learns its answers.
const PUPILS: usize = 4;

impl Floor {
    /// Asks the registry at `base` every question and keeps the answers.
    ///
    /// # Errors
    /// When a question is not answered.
    pub async fn learn(&mut self, base: &Base, questions: &[Question]) -> anyhow::Result<()> {
        let mut learning = JoinSet::new();
        for some in questions.chunks(questions.len().div_ceil(PUPILS).max(1)) {
            learning.spawn(ask(Connection::to(base), some.to_vec()));
        }
        while let Some(answers) = learning.join_next().await {
            self.answers.extend(answers??);
        }
        Ok(())
    }

    /// Serves the answers for ever, and says where.
    ///
    /// # Errors
    /// When `listen` cannot be bound.
    pub async fn serve(self, listen: SocketAddr) -> anyhow::Result<()> {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        say(&format!("{LISTENING}{}", listener.local_addr()?));
        // As the registry does: or small answers would wait for the client's delayed acknowledgement.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, self.router()).await?)
    }

    /// The one handler of it.
    pub fn router(self) -> Router {
        let this = Arc::new(self);
        Router::new().fallback(move |target: Uri| std::future::ready(this.answer(&target)))
    }

    fn answer(&self, target: &Uri) -> Response {
        let target = target.path_and_query().map_or("", |target| target.as_str());
        match self.answers.get(target) {
            Some((content_type, body)) => {
                ([(CONTENT_TYPE, content_type.clone())], body.clone()).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

async fn ask(mut connection: Connection, questions: Vec<Question>) -> anyhow::Result<Answers> {
    let mut answers = Answers::new();
    for Question { target, .. } in questions {
        let answer = connection.fetch(&target).await?;
        let content_type = answer.headers.get(CONTENT_TYPE).cloned();
        let content_type = content_type.with_context(|| format!("{target} is answered without a type"))?;
        answers.insert(target.to_string(), (content_type, answer.body));
    }
    Ok(answers)
}
