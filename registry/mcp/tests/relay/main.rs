//! Requests of clients of both eras on their way to a server of either, and its answers on their way back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use mesh_mcp::call::ClientInfo;
use mesh_mcp::front::relay::ask::{Ask, Told};
use mesh_mcp::front::relay::nature::Nature;
use mesh_mcp::front::relay::said::Said;
use mesh_mcp::front::relay::wish::Wish;
use mesh_mcp::param_header::ToolParams;
use proptest::prelude::*;
use serde_json::{Value, json};

const US: ClientInfo = ClientInfo { name: "us", version: "1" };
const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;

fn current() -> Nature {
    Nature::read(br#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#).unwrap()
}

fn older() -> Nature {
    Nature::read(br#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}}}"#)
        .unwrap()
}

fn wish(headers: &[(&'static str, &'static str)], body: &str, nature: &Nature) -> Wish {
    wish_of(headers, body, nature, &ToolParams::default())
}

fn wish_of(
    headers: &[(&'static str, &'static str)],
    body: &str,
    nature: &Nature,
    params: &ToolParams,
) -> Wish {
    let headers =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let headers = HeaderMap::from_iter(headers);
    Wish::read(&Method::POST, &headers, &Bytes::copy_from_slice(body.as_bytes()), nature, params)
}

/// A request of an older client.
fn ask(body: &str, nature: &Nature) -> Ask {
    let Wish::Ask(ask) = wish(&[], body, nature) else { panic!("{body} is not passed on") };
    ask
}

/// A request of a current client.
fn ask_currently(method: &'static str, params: &str, nature: &Nature) -> Ask {
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method), ("mcp-name", "t")];
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"c","method":"{method}","params":{{"name":"t",{params}"_meta":{{{META}}}}}}}"#
    );
    let Wish::Ask(ask) = wish(&headers, &body, nature) else { panic!("{body} is not passed on") };
    ask
}

fn line(ask: &Ask) -> String {
    String::from_utf8(ask.line(7, US)).unwrap()
}

fn answer(ask: &Ask, text: &str) -> (u16, String) {
    let Told { status, message } = ask.answer(&Said::read(Bytes::copy_from_slice(text.as_bytes())).unwrap());
    (status.as_u16(), String::from_utf8(message.to_vec()).unwrap())
}

#[test]
fn parameters_that_stand_in_headers_must_be_the_same_there() {
    let schema = json!({"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let params = ToolParams::of([("t", schema.as_object().unwrap())].into_iter());
    let call = |region: Option<&'static str>, arguments: &str| {
        let mut headers =
            vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "t")];
        headers.extend(region.map(|region| ("mcp-param-region", region)));
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{{"name":"t",{arguments}"_meta":{{{META}}}}}}}"#
        );
        match wish_of(&headers, &body, &current(), &params) {
            Wish::Ask(_) => None,
            Wish::Answered(reply) => {
                Some((reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned()))
            }
            other => panic!("{other:?}"),
        }
    };
    let eu = r#""arguments":{"region":"eu"},"#;
    assert_eq!((call(Some("eu"), eu), call(Some("=?base64?ZXU=?="), eu), call(None, "")), (None, None, None));
    for (region, arguments) in [(None, eu), (Some("us"), eu), (Some("=?base64?!?="), eu), (Some("eu"), "")] {
        let (status, message) = call(region, arguments).unwrap();
        assert!(
            status == 400 && message.contains("-32020") && message.contains("mcp-param-region"),
            "{message}"
        );
    }
    // A client of an older revision knows nothing of it.
    let older =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"region":"eu"}}}"#;
    assert!(matches!(wish_of(&[], older, &current(), &params), Wish::Ask(_)));
}

#[test]
fn ids_and_tokens_become_numbers_of_ours_and_nothing_else_changes() {
    let body = r#"{"method":"tools/call" , "x":[1e2], "id":"a","params":{"_meta":{"progressToken":"p","k":0.10},"name":"t"},"jsonrpc":"2.0"}"#;
    let expected = r#"{"method":"tools/call" , "x":[1e2], "id":7,"params":{"_meta":{"progressToken":7,"k":0.10},"name":"t"},"jsonrpc":"2.0"}"#;
    assert_eq!(line(&ask(body, &older())), expected);
}

#[test]
fn a_current_server_is_told_who_asks_when_the_client_has_not_said_so() {
    let told = |params: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list"{params}}}"#);
        serde_json::from_str::<Value>(&line(&ask(&body, &current()))).unwrap()["params"].clone()
    };
    for params in [
        "",
        r#","params":null"#,
        r#","params":{}"#,
        r#","params":{"_meta":{}}"#,
        r#","params":{"_meta":null}"#,
        r#","params":{"cursor":"c","_meta":{"k":1}}"#,
    ] {
        let told = told(params);
        assert_eq!(told["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28", "{params}");
        assert_eq!(told["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "us", "{params}");
    }
    assert_eq!(told(r#","params":{"cursor":"c","_meta":{"k":1}}"#)["cursor"], "c");
    assert!(!line(&ask_currently("tools/call", "", &current())).contains("clientInfo"));
    assert!(!line(&ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, &older())).contains("_meta"));
}

#[test]
fn a_result_is_completed_for_a_current_client_of_an_older_server_only() {
    let listed = ask_currently("tools/list", "", &older());
    assert_eq!(
        answer(&listed, r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[ ]}, "y":1}"#),
        (200, r#"{"jsonrpc":"2.0","id":"c","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[ ]}, "y":1}"#.into())
    );
    let called = ask_currently("tools/call", "", &older());
    let kept = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"task"}}"#;
    assert_eq!(answer(&called, kept).1, kept.replace('7', "\"c\""));
    for untouched in [
        ask_currently("tools/list", "", &current()),
        ask(r#"{"jsonrpc":"2.0","id":"c","method":"tools/list"}"#, &older()),
    ] {
        let text = r#"{"id":7,"result":{"tools":[]}}"#;
        assert_eq!(answer(&untouched, text).1, text.replace('7', "\"c\""));
    }
}

#[test]
fn errors_have_the_status_of_their_client_s_era() {
    let (now, before) = (
        ask_currently("tools/call", "", &older()),
        ask(r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"t"}}"#, &current()),
    );
    for (code, status) in [(-32601, 404), (-32021, 400), (-32022, 400), (-32602, 200), (-32603, 200)] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":{code},"message":"no"}}}}"#);
        assert_eq!((answer(&now, &text).0, answer(&before, &text).0), (status, 200), "{code}");
    }
    assert_eq!(now.failure("gone").status, StatusCode::BAD_GATEWAY);
    let failed: Value = serde_json::from_slice(&before.failure("gone").message).unwrap();
    assert_eq!((&failed["id"], &failed["error"]["code"]), (&json!("c"), &json!(-32603)));
}

#[test]
fn a_server_that_asks_back_is_refused_for_a_client_that_cannot_answer() {
    let text = r#"{"id":7,"result":{"resultType":"input_required","requestState":"s"}}"#;
    let before = ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#, &current());
    assert!(answer(&before, text).1.contains("cannot give"));
    assert!(answer(&ask_currently("tools/call", "", &current()), text).1.contains(r#""requestState":"s""#));
}

#[test]
fn a_client_that_names_something_twice_gets_nothing_past_us() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{},"_meta":{"progressToken":1}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[{"progressToken":1}]}"#,
    ] {
        assert!(matches!(wish(&[], body, &older()), Wish::Answered(_)), "{body}");
    }
}

/// JSON with text of any kind in it, written with line breaks.
fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![any::<i32>().prop_map(Value::from), ".{0,8}".prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_asked_becomes_one_line_that_means_the_same(arguments in value(), id in ".{0,6}", is_current: bool) {
        let mut message = json!({"jsonrpc": "2.0", "id": id, "method": "x/y", "params": {"arguments": arguments}});
        let text = serde_json::to_string_pretty(&message).unwrap();
        let nature = if is_current { current() } else { older() };
        let line = ask(&text, &nature).line(7, US);
        prop_assert!(!line.contains(&b'\n'));
        let mut read: Value = serde_json::from_slice(&line).unwrap();
        message["id"] = json!(7);
        read["params"].as_object_mut().unwrap().remove("_meta");
        prop_assert_eq!(read, message);
    }

    #[test]
    fn whatever_is_answered_comes_back_as_it_was(result in value(), id in ".{0,6}") {
        let asked = json!({"jsonrpc": "2.0", "id": id, "method": "x/y"}).to_string();
        let text = json!({"jsonrpc": "2.0", "id": 7, "result": {"r": result}}).to_string();
        let (_, told) = answer(&ask(&asked, &older()), &text);
        prop_assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), json!({"jsonrpc": "2.0", "id": id, "result": {"r": result}}));
    }

    #[test]
    fn nothing_that_a_server_prints_breaks_us(line in "[\\{\\}\\[\\]:,a-z0-9\" ]{0,40}") {
        Said::read(Bytes::from(line));
    }
}
