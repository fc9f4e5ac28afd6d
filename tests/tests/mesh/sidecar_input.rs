//! Rubbish in: every malformed request, manifest and configuration gets an error that names its faults; nothing panics.

use mesh_tests::exchange;
use mesh_tests::program::run;
use mesh_tests::registry::TestRegistry;
use mesh_tests::sidecar::TestSidecar;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const SIDECAR: &str = "sidecar-under-test";

#[tokio::test]
async fn a_manifest_with_many_faults_is_refused_with_all_of_them_and_their_lines() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(
        &file,
        "id: my agent\nendpont: http://localhost:1/mcp\nnamespace: Prod\nhealth: {intervall: 5s}\n\
         capabilities:\n  - name: a\n    version: 1.2\n  - nam: b\nlabels: {team: data, team: web}\nid: again\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let (code, text) =
        run(SIDECAR, &["--manifest", path, "--check", "--max-retries", "99", "--registry", "nowhere"]).await;
    assert_eq!(code, Some(64), "{text}");
    for expected in [
        "'endpoint' field is required",
        ":2:1: 'endpont' is not a known key: did you mean 'endpoint'?",
        ":3:1: 'namespace' must be a DNS label",
        ":4:10: 'health.intervall' is not a known key: did you mean 'interval'?",
        "'capabilities[0].version' must be a string",
        "'capabilities[1].name' field is required",
        "'labels.team' stands twice",
        "'id' stands twice, in lines 1 and 10",
        "--max-retries: 'max_retries' must be a whole number from 0 to 10, got 99",
        "--registry: 'registry'",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn check_and_help_say_what_there_is() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.yaml");
    std::fs::write(&file, "id: a\nendpoint: http://localhost:1/mcp\n").unwrap();
    let (code, text) = run(SIDECAR, &["--manifest", file.to_str().unwrap(), "--check"]).await;
    assert_eq!((code, text.contains("is valid")), (Some(0), true), "{text}");
    let (code, text) = run(SIDECAR, &["--help"]).await;
    assert_eq!(code, Some(0));
    for setting in mesh_sidecar::config::PROGRAM.settings {
        assert!(
            text.contains(&format!("--{}", setting.name.replace('_', "-"))),
            "{} in {text}",
            setting.name
        );
        assert!(
            setting.default.is_empty() || text.contains(&format!("[default: {}]", setting.default)),
            "{text}"
        );
    }
    let (code, text) = run(SIDECAR, &["--manifest", "/nowhere/agent.yaml"]).await;
    assert!(code == Some(64) && text.contains("/nowhere/agent.yaml: cannot be read"), "{text}");
    let (code, text) = run(SIDECAR, &["--listne", "127.0.0.1:0"]).await;
    assert!(code == Some(64) && text.contains("--listen"), "{text}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = run(SIDECAR, &["--listen", &address]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("cannot listen on {address}")) && text.contains("--listen"), "{text}");
}

#[tokio::test]
async fn malformed_calls_get_an_error_that_names_the_fault() {
    let registry = TestRegistry::in_memory().await;
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    let deep = "[".repeat(200_000);
    for (method, target, body, status, expected) in [
        ("POST", "/call/x", "{", 400, "must be a JSON object"),
        ("POST", "/call/x", "[1]", 400, "not an object"),
        ("POST", "/call/x", "null", 400, "not an object"),
        ("POST", "/call/x", deep.as_str(), 400, "must be a JSON object"),
        ("POST", "/call/9x", "{}", 400, "'capability' must be a letter"),
        ("POST", "/call/", "{}", 400, "'capability' must be a letter"),
        ("POST", "/call/a%00b", "{}", 400, "'capability' must be a letter"),
        ("POST", "/call/x?versoin_constraint=1", "{}", 400, "did you mean 'version_constraint'?"),
        ("POST", "/call/x?version_constraint=newest", "{}", 400, "valid ones are ^1.2.0"),
        ("POST", "/call/x?label_selector=a=b=c", "{}", 400, "Invalid label selector at position"),
        ("POST", "/call/x?limit=3&fuzzy_match=true", "{}", 400, "has no place in a call"),
        ("GET", "/call/x", "", 405, "does not take GET"),
        ("DELETE", "/agents", "", 405, "does not take DELETE"),
        ("GET", "/nowhere", "", 404, "POST /call/{capability}"),
        ("POST", "/call/nobody_offers_this", "{}", 404, "no agent offers nobody_offers_this"),
        ("GET", "/explain/nobody_offers_this", "", 404, "no agent offers"),
    ] {
        let answer = exchange::send(sidecar.address, method, target, &[], body.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        let json = answer.json();
        assert_eq!(
            (json["status"].as_str(), json["detail"] == json["error"]),
            (Some("error"), true),
            "{json}"
        );
        assert!(json["error"].as_str().unwrap_or_default().contains(expected), "{expected} in {json}");
    }
    let late = [("X-Mesh-Timeout-Ms", "soon")];
    let answer = exchange::send(sidecar.address, "POST", "/call/x", &late, b"{}").await.unwrap();
    assert!(answer.status == 400 && answer.text().contains("milliseconds"), "{}", answer.text());
    assert!(!sidecar.program.printed().contains("panicked"));
}

#[tokio::test]
async fn rubbish_slowness_and_size_do_no_harm() {
    let registry = TestRegistry::in_memory().await;
    let sidecar = TestSidecar::caller(&registry, &[]).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(sidecar.address).await.unwrap();
        stream
            .write_all(b"POST /call/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
            .await
            .unwrap();
        idle.push(stream);
    }
    for rubbish in
        [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
    {
        let mut stream = tokio::net::TcpStream::connect(sidecar.address).await.unwrap();
        stream.write_all(rubbish).await.unwrap();
        let mut answer = Vec::new();
        let _ =
            tokio::time::timeout(mesh_tests::wait::PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    }
    let huge = vec![b' '; 17 * 1024 * 1024];
    let answer = exchange::send(sidecar.address, "POST", "/call/x", &[], &huge).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
    assert_eq!(sidecar.get("/livez").await.status, 200);
    assert!(!sidecar.program.printed().contains("panicked"), "{}", sidecar.program.printed());
}

#[tokio::test]
async fn more_calls_than_allowed_are_refused_at_once() {
    use mesh_tests::scripted::{Act, ScriptedAgent, Speech};
    let registry = TestRegistry::in_memory().await;
    let agent = ScriptedAgent::start("a", Speech::Current).await;
    agent.always(Act::AnswerAfter(std::time::Duration::from_secs(2)));
    let manifest = mesh_tests::sidecar::manifest("a", &agent.endpoint(), "work", false);
    let _beside = TestSidecar::beside(&registry, &manifest).await;
    let caller = TestSidecar::caller(&registry, &["--max-in-flight", "4"]).await;
    let nothing = serde_json::json!({});
    let calls = (0..12).map(|_| caller.call("work", &nothing));
    let answers = futures_util::future::join_all(calls).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(429)), (4, 8));
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert!(refused.json()["code"] == "overloaded" && !refused.header("retry-after").is_empty());
}
