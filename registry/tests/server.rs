//! The server as a whole, in this process: port, store, drain.

#![cfg(test)]

use std::net::SocketAddr;
use std::time::Duration;

use mesh_registry::config::Config;
use mesh_registry::server::{Server, ServerError};
use mesh_registry::store::url::StoreUrl;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Longest that a server may take to stop.
const PATIENCE: Duration = Duration::from_secs(10);

async fn exchange(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request =
        format!("{head} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_was_registered_and_heard_before_the_stop_is_known_after_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    // The sweeper does not tick during the test, so only the stop can have flushed the heartbeat.
    let health_check_interval = Duration::from_secs(3_600);
    let store = StoreUrl::File(directory.path().to_owned());
    let config = Config { store, health_check_interval, ..Config::default() };
    for (head, body, expected) in [
        (
            "POST /agents",
            r#"{"id": "a", "endpoint": "http://h:1/", "capabilities": [{"name": "x", "version": "1.2.0"}]}"#,
            "registered",
        ),
        ("POST /heartbeat", r#"{"agent_id": "a"}"#, "recorded"),
        ("GET /agents?version_constraint=>1.0.0", "", "\"status\":\"healthy\""),
    ] {
        let server = Server::bind(config.clone()).await.unwrap();
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let running = tokio::spawn(server.run(stop.clone()));
        let answer = loop {
            let answer = exchange(address, head, body).await;
            // It may still be reading.
            if !answer.starts_with("HTTP/1.1 503") {
                break answer;
            }
            assert!(answer.contains("retry-after: 1") && answer.contains("try again"), "{answer}");
        };
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(expected), "{answer}");
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = Server::bind(Config::default()).await.unwrap();
    let listen = first.local_addr();
    let fault = Server::bind(Config { listen, ..Config::default() }).await.unwrap_err();
    assert!(matches!(fault, ServerError::Bind { address, .. } if address == listen), "{fault}");
}
