//! What a scripted agent says about its tools: page by page, and whatever a test wants it to say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Reply, error, reply, result};

/// The tools of a scripted agent; none until a test says which.
#[derive(Debug, Default)]
pub struct Tools {
    list: Mutex<Listed>,
    listings: AtomicUsize,
}

#[derive(Debug, Default)]
struct Listed {
    tools: Vec<Value>,
    /// How many stand on a page; all when it is 0.
    page: usize,
    /// What it says to the question, instead of any of them.
    instead: Option<Value>,
    fails: bool,
}

// === impl Tools ===

impl Tools {
    /// From now on it has these, so many on a page; 0 puts all on one.
    pub fn set(&self, tools: &[Value], page: usize) {
        self.with(|list| *list = Listed { tools: tools.to_vec(), page, ..Listed::default() });
    }

    /// From now on this is the result of the question, whichever page was asked for.
    pub fn say(&self, result: Value) {
        self.with(|list| list.instead = Some(result));
    }

    /// Whether the question is answered with 500 from now on.
    pub fn fail(&self, fails: bool) {
        self.with(|list| list.fails = fails);
    }

    /// How often it was asked, pages counted one by one.
    pub fn listings(&self) -> usize {
        self.listings.load(Ordering::SeqCst)
    }

    pub(super) fn list(&self, message: &Value) -> Reply {
        self.listings.fetch_add(1, Ordering::SeqCst);
        self.with(|list| {
            if list.fails {
                return reply(StatusCode::INTERNAL_SERVER_ERROR, "cannot say".to_owned());
            }
            if let Some(instead) = &list.instead {
                return result(message, instead.clone());
            }
            let first = match &message["params"]["cursor"] {
                Value::Null => Some(0),
                cursor => cursor.as_str().and_then(|cursor| cursor.parse::<usize>().ok()),
            };
            let Some(first) = first else { return error(StatusCode::OK, message, -32602, "no such page") };
            let page = if list.page == 0 { usize::MAX } else { list.page };
            let tools: Vec<_> = list.tools.iter().skip(first).take(page).collect();
            let mut answer = json!({"tools": tools});
            if first + tools.len() < list.tools.len() {
                answer["nextCursor"] = json!((first + tools.len()).to_string());
            }
            result(message, answer)
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Listed) -> T) -> T {
        act(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
