//! Reads one page of a server's list of tools.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::raw::RawJson;

/// The method that asks for one.
pub const METHOD: &str = "tools/list";

/// One page of a server's list of tools.
#[derive(Debug)]
pub struct Page {
    /// The tools, each as it was written, so that one that cannot be read does not hide the others.
    pub tools: Vec<Box<RawValue>>,
    /// Names the next page; none at the last.
    pub next: Option<String>,
    /// How long the page may be taken for true, where the server says so (2026-07-28).
    pub ttl: Option<Duration>,
}

impl Page {
    /// The page in the result of [`METHOD`].
    ///
    /// # Errors
    /// When it is none.
    pub fn read(result: &RawJson) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Listed {
            tools: Vec<Box<RawValue>>,
            next_cursor: Option<String>,
            ttl_ms: Option<Value>,
        }
        let Listed { tools, next_cursor, ttl_ms } = serde_json::from_slice(result.as_bytes())?;
        // The official SDKs take an empty cursor for the end as well.
        let next = next_cursor.filter(|cursor| !cursor.is_empty());
        Ok(Self { tools, next, ttl: ttl_ms.and_then(|ttl| ttl.as_u64()).map(Duration::from_millis) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(text: &'static str) -> Result<Page, serde_json::Error> {
        Page::read(&RawJson::read(&Bytes::from_static(text.as_bytes()))?)
    }

    #[test]
    fn a_page_has_tools_a_cursor_and_a_time_to_live() {
        let page =
            read(r#"{"tools":[{"name": "a"}, 7],"nextCursor":"c","ttlMs":1500,"cacheScope":"public"}"#)
                .unwrap();
        assert_eq!(page.tools.iter().map(|tool| tool.get()).collect::<Vec<_>>(), [r#"{"name": "a"}"#, "7"]);
        assert_eq!((page.next.as_deref(), page.ttl), (Some("c"), Some(Duration::from_millis(1_500))));
        for last in [
            r#"{"tools":[],"nextCursor":""}"#,
            r#"{"tools":[],"nextCursor":null,"ttlMs":-1}"#,
            r#"{"tools":[],"ttlMs":"x"}"#,
        ] {
            let page = read(last).unwrap();
            assert!(page.next.is_none() && page.ttl.is_none(), "{last}");
        }
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for odd in ["{}", "[]", r#"{"tools":{}}"#, r#"{"tools":[],"nextCursor":7}"#, "null"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
