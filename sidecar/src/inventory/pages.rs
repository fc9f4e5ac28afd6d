//! Reads all pages of our agent's list of tools, as long as it has an end.

use std::collections::HashSet;
use std::time::Duration;

use mesh_mcp::page::{METHOD, Page};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::own_agent::{AskError, OwnAgent};

/// Most pages of one list. Small pages are usual: a page for each of 1,000 tools is the most that makes sense.
const MAX_PAGES: usize = 1_000;
/// How often a list of several pages is read once more until it says the same again.
const MAX_READS: usize = 3;
/// Largest list, in bytes: the limit of one answer.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Our agent's list of tools.
#[derive(Debug, Default)]
pub(super) struct List {
    /// The tools, as they were written, in one order.
    pub(super) tools: Vec<Box<RawValue>>,
    /// For how long the agent takes it for true, where it says so.
    pub(super) ttl: Option<Duration>,
    /// On how many pages they stood.
    pages: usize,
}

/// Why the list cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// There was no answer.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The answer is no list.
    #[error("our agent's answer to {METHOD} is no list of tools")]
    NoList(#[source] serde_json::Error),
    /// One page leads back to one before.
    #[error("our agent's list of tools has no end: page {0} names a page that was read before as the next")]
    Loop(usize),
    /// There are too many pages.
    #[error("our agent's list of tools has more than {MAX_PAGES} pages")]
    Endless,
    /// It is another one every time.
    #[error("our agent's list of tools changes whenever its pages are read")]
    Unsteady,
    /// The list is too large.
    #[error("our agent's list of tools is larger than {MAX_BYTES} bytes")]
    TooLarge,
}

/// Reads the whole list. What stood on several pages may have changed in between and is believed when it was read twice,
/// or a tool that moved from one page to another would be missed.
pub(super) async fn read(agent: &dyn OwnAgent) -> Result<List, ListError> {
    let mut list = read_once(agent).await?;
    for _ in 0..MAX_READS {
        if list.pages == 1 {
            return Ok(list);
        }
        let again = read_once(agent).await?;
        if again.tools.iter().map(|tool| tool.get()).eq(list.tools.iter().map(|tool| tool.get())) {
            return Ok(again);
        }
        list = again;
    }
    Err(ListError::Unsteady)
}

async fn read_once(agent: &dyn OwnAgent) -> Result<List, ListError> {
    let (mut list, mut cursors, mut bytes) = (List::default(), HashSet::new(), 0);
    let mut params = Map::new();
    for number in 1..=MAX_PAGES {
        let result = agent.ask(METHOD, &params).await?;
        bytes += result.as_bytes().len();
        if bytes > MAX_BYTES {
            return Err(ListError::TooLarge);
        }
        let page = Page::read(&result).map_err(ListError::NoList)?;
        list.tools.extend(page.tools);
        list.ttl = list.ttl.into_iter().chain(page.ttl).min();
        let Some(cursor) = page.next else {
            list.pages = number;
            list.tools.sort_by(|a, b| a.get().cmp(b.get()));
            return Ok(list);
        };
        if !cursors.insert(cursor.clone()) {
            return Err(ListError::Loop(number));
        }
        params.insert("cursor".to_owned(), Value::String(cursor));
    }
    Err(ListError::Endless)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use mesh_mcp::raw::RawJson;
    use serde_json::json;
    use tokio::sync::Notify;

    use super::*;

    /// Answers with what it makes of the number of the question and of its cursor.
    struct Pager<F>(F, Mutex<usize>);

    impl<F: Fn(usize, &Value) -> Value + Send + Sync + 'static> OwnAgent for Pager<F> {
        fn ask<'a>(
            &'a self,
            method: &'static str,
            params: &'a Map<String, Value>,
        ) -> BoxFuture<'a, Result<RawJson, AskError>> {
            assert_eq!(method, "tools/list");
            let number = {
                let mut asked = self.1.lock().unwrap();
                *asked += 1;
                *asked
            };
            let answer = (self.0)(number, params.get("cursor").unwrap_or(&Value::Null)).to_string();
            Box::pin(async { Ok(RawJson::read(&Bytes::from(answer)).unwrap()) })
        }

        fn listen<'a>(&'a self, _: &'a Notify) -> BoxFuture<'a, Result<(), AskError>> {
            Box::pin(async { Err(AskError::Silent) })
        }
    }

    async fn pages(
        answer: impl Fn(usize, &Value) -> Value + Send + Sync + 'static,
    ) -> Result<List, ListError> {
        read(&Pager(answer, Mutex::default())).await
    }

    #[tokio::test]
    async fn every_page_is_read_and_the_shortest_time_to_live_holds() {
        let list = pages(|number, cursor| {
            // All of it is read twice.
            let number = if number > 4 { number - 4 } else { number };
            assert_eq!(*cursor, if number == 1 { Value::Null } else { json!(format!("c{}", number - 1)) });
            let next = if number < 4 { json!(format!("c{number}")) } else { Value::Null };
            json!({"tools": [number], "nextCursor": next, "ttlMs": 1_000 + (number as i64 - 3).abs()})
        });
        let list = list.await.unwrap();
        assert_eq!(list.tools.iter().map(|tool| tool.get()).collect::<String>(), "1234");
        assert_eq!(list.ttl, Some(Duration::from_millis(1_000)));
    }

    #[tokio::test]
    async fn pages_that_change_while_they_are_read_are_read_until_they_agree() {
        let two_pages = |number: usize, tools: [usize; 2]| match number % 2 {
            1 => json!({"tools": [tools[0]], "nextCursor": "2"}),
            _ => json!({"tools": [tools[1]]}),
        };
        // The first round misses a tool that moved; from then on the list is the same in another order.
        let list =
            pages(move |number, _| two_pages(number, [[1, 1], [2, 1], [1, 2]][((number - 1) / 2).min(2)]));
        assert_eq!(list.await.unwrap().tools.iter().map(|tool| tool.get()).collect::<String>(), "12");
        let restless = pages(move |number, _| two_pages(number, [number, number])).await;
        assert!(matches!(restless, Err(ListError::Unsteady)), "{restless:?}");
    }

    #[tokio::test]
    async fn a_list_without_an_end_is_an_error() {
        let turning = pages(|number, _| json!({"tools": [], "nextCursor": (number % 3).to_string()})).await;
        assert!(matches!(turning, Err(ListError::Loop(4))), "{turning:?}");
        let growing = pages(|number, _| json!({"tools": [{}], "nextCursor": number.to_string()})).await;
        assert!(matches!(growing, Err(ListError::Endless)), "{growing:?}");
        let huge = "x".repeat(1024 * 1024);
        let heavy = pages(move |number, _| json!({"tools": [huge], "nextCursor": number.to_string()})).await;
        assert!(matches!(heavy, Err(ListError::TooLarge)), "{heavy:?}");
    }

    #[tokio::test]
    async fn what_is_no_list_is_an_error_also_on_a_later_page() {
        for rubbish in [
            json!({}),
            json!([]),
            json!("tools"),
            json!({"tools": 7}),
            json!({"tools": [], "nextCursor": {}}),
        ] {
            let answer = pages(move |number, _| match number {
                1 => json!({"tools": [1], "nextCursor": "2"}),
                _ => rubbish.clone(),
            });
            let answer = answer.await;
            assert!(matches!(answer, Err(ListError::NoList(_))), "{answer:?}");
        }
    }
}
