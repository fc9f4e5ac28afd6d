//! Connections that do not do what HTTP asks for.

use std::time::Duration;

use mesh_tests::exchange;
use mesh_tests::wait::PATIENCE;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::victim::{Victim, expect_error};

/// Connections that do nothing: more than any pool of workers would have.
const IDLE: usize = 300;
/// Longest that a slow request may take, well below the registry's limit for a request head.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_is_not_http_is_refused_or_closed() {
    let victim = Victim::start().await;
    let every_byte = (0..=u8::MAX).collect::<Vec<_>>().repeat(100);
    let long = [b"GET /".as_slice(), &b"x".repeat(100_000)].concat();
    for rubbish in [
        b"rubbish\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /agents?a=\0 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /agents HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /agents HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand then no frames at all",
        &every_byte,
        &long,
    ] {
        let answer = victim.raw(rubbish).await;
        let shown = String::from_utf8_lossy(rubbish).chars().take(40).collect::<String>();
        assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{shown:?} was carried out");
    }
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_carried_out() {
    let victim = Victim::start().await;
    let mut stream = TcpStream::connect(victim.registry.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let body = r#"{"id": "slow", "endpoint": "http://h:1/"}"#;
    let length = body.len();
    let request = format!(
        "POST /agents HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    for byte in request.bytes() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(victim.registry.get("/agents/slow").await.status, 200);
    victim.is_well().await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let victim = Victim::start().await;
    let head = b"POST /agents HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 50\r\n\r\n{\"id\":";
    let waiting = victim.raw(head);
    let meanwhile = async {
        let document = json!({"id": "other", "endpoint": "http://h:1/"});
        assert_eq!(victim.registry.post("/agents", &document).await.status, 200);
    };
    let (given_up, ()) = tokio::join!(waiting, meanwhile);
    let said = expect_error(&given_up.expect("an answer"), 408, "malformed_body");
    assert!(said["error"].as_str().unwrap().contains("did not arrive"), "{said}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let victim = Victim::start().await;
    assert!(victim.raw(b"GET /livez HTTP/1.1\r\nHost").await.is_none());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_it_is_sent_or_only_announced() {
    let victim = Victim::start().await;
    let sent =
        victim.refused(("POST", "/agents"), &[], &vec![b'x'; 2 << 20], (413, "payload_too_large")).await;
    assert!(sent["error"].as_str().unwrap().contains("1048576 bytes"), "{sent}");

    let head =
        "POST /agents HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n{";
    let announced = timeout(SOON, victim.raw(head.as_bytes())).await.expect("refused at once");
    expect_error(&announced.expect("an answer"), 413, "payload_too_large");

    let chunk = "10000\r\n".to_owned() + &"x".repeat(0x10000) + "\r\n";
    let head = "POST /agents HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = victim.raw((head.to_owned() + &chunk.repeat(20)).as_bytes()).await;
    expect_error(&chunked.expect("an answer"), 413, "payload_too_large");
}

#[tokio::test]
async fn connections_that_do_nothing_keep_nobody_else_waiting() {
    let victim = Victim::start().await;
    let address = victim.registry.address;
    let connections = (0..IDLE).map(|_| TcpStream::connect(address));
    let idle = futures_util::future::try_join_all(connections).await.unwrap();
    for id in 0..20 {
        let document = json!({"id": format!("agent-{id}"), "endpoint": "http://h:1/"});
        let answer = timeout(SOON, exchange::post(address, "/agents", &document)).await.unwrap().unwrap();
        assert_eq!(answer.status, 200);
    }
    victim.is_well().await;
    drop(idle);
}

#[tokio::test]
async fn connections_that_do_nothing_are_closed_after_a_while() {
    let victim = Victim::start().await;
    let closings = ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"].map(async |opening| {
        let mut stream = TcpStream::connect(victim.registry.address).await.unwrap();
        stream.write_all(opening.as_bytes()).await.unwrap();
        let closed = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "still open after {opening:?} and {PATIENCE:?}");
    });
    futures_util::future::join_all(closings).await;
    victim.is_well().await;
}
