//! Whatever is sent, the answer is one that HTTP and JSON-RPC know.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_mcp::front::Incoming;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::table::{Table, front};

/// Pieces of JSON, right and wrong ones.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "null",
        "7",
        "-1.5e3",
        "\"2.0\"",
        "\"x\"",
        "[]",
        "{}",
        "true",
        "{\"a\":[{}]}",
        "\"tools/list\"",
        "\"tools/call\"",
        "\"initialize\"",
        "\"server/discover\"",
        "\"notifications/x\"",
        "\"echo\"",
        "\"2026-07-28\"",
        "{\"name\":\"echo\",\"arguments\":{}}",
        "{\"cursor\":\"YWZ0ZXI6\"}",
        "{\"_meta\":{}}",
        "{\"_meta\":7}",
        "{\"name\":\"echo\",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\
         \"io.modelcontextprotocol/clientCapabilities\":{}}}",
    ];
    select(pieces.map(str::to_owned).to_vec())
}

fn message() -> impl Strategy<Value = String> {
    let key = select(vec!["jsonrpc", "id", "method", "params", "result", "error", "more"]);
    let member = (key, piece()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    let any = prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")));
    let proper = (piece(), piece(), piece()).prop_map(|(id, method, params)| {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method},\"params\":{params}}}")
    });
    prop_oneof![any, proper]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let batch =
        prop::collection::vec(message(), 0..4).prop_map(|messages| format!("[{}]", messages.join(",")));
    prop_oneof![
        4 => message().prop_map(String::into_bytes),
        2 => batch.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name =
        select(vec!["mcp-protocol-version", "mcp-method", "mcp-name", "origin", "accept", "mcp-session-id"]);
    let words = [
        "2026-07-28",
        "2025-03-26",
        "2025-11-25",
        "x",
        "tools/call",
        "tools/list",
        "echo",
        "=?base64?ZWNobw==?=",
    ];
    let value = prop_oneof![
        select(words.map(|word| word.as_bytes().to_vec()).to_vec()),
        "[ -~]{0,9}".prop_map(String::into_bytes)
    ];
    prop::collection::vec((name, value), 0..5).prop_map(|headers| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap());
        }
        map
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_request_gets_a_known_status_and_a_message_or_nothing(body in body(), headers in headers()) {
        let table = Table::with(0);
        let runtime = Builder::new_current_thread().build().unwrap();
        let incoming = Incoming { method: &Method::POST, headers: &headers, body: &body };
        let reply = runtime.block_on(front(&table).answer(incoming));
        prop_assert!([200, 202, 400, 403, 404].contains(&reply.status.as_u16()), "{}", reply.status);
        if reply.status == 202 {
            prop_assert!(reply.body.is_empty());
            return Ok(());
        }
        let answers = match serde_json::from_slice::<Value>(&reply.body).unwrap() {
            Value::Array(answers) => answers,
            one => vec![one],
        };
        for answer in answers {
            prop_assert_eq!(&answer["jsonrpc"], "2.0");
            prop_assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{}", answer);
            prop_assert!(answer.get("error").is_none_or(|error| error["code"].is_i64()), "{}", answer);
        }
    }
}
