//! What cannot be configured is said before anything starts.

use std::fs;

use mesh_registry::config::PROGRAM;
use mesh_tests::program::Program;
use mesh_tests::registry::BINARY;
use mesh_tests::wait::until;
use tempfile::TempDir;

/// Exit code of a program that was called wrongly.
const EXIT_USAGE: i32 = 64;

/// Runs the registry to its end: its exit code and everything that it printed.
async fn run(arguments: &[&str], variables: &[(&str, &str)], last: &str) -> (Option<i32>, String) {
    let mut program = Program::start(BINARY, arguments, variables);
    let code = program.ended().await.code();
    // Output may arrive a moment after the end.
    until(last, async || program.printed().contains(last).then_some(())).await;
    (code, program.printed())
}

#[tokio::test]
async fn every_fault_of_a_configuration_is_reported_at_once_with_its_place() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("registry.yaml");
    let text =
        "listen: everywhere\nretntion: 5\nquery_timeout: 0\nagent_types:\n  batch: {timeout_threshold: 9}\n";
    fs::write(&file, text).unwrap();
    let file = file.to_string_lossy();
    let arguments = ["--check", "--config", &file, "--store", "etcd:"];
    let variables = [("MESH_REGISTRY_CACHE_TTL", "soon")];
    for arguments in [&arguments[..], &arguments[1..]] {
        let (code, said) = run(arguments, &variables, "See --help").await;
        assert_eq!(code, Some(EXIT_USAGE), "{said}");
        for line in [
            format!("{file}:1:1: 'listen'"),
            format!("{file}:2:1: 'retntion' is not a known key: did you mean 'retention'?"),
            format!("{file}:3:1: 'query_timeout'"),
            format!("{file}:5:3: 'agent_types.batch.eviction_threshold'"),
            "--store: 'store'".to_owned(),
            "MESH_REGISTRY_CACHE_TTL: 'cache_ttl'".to_owned(),
            "6 faults".to_owned(),
        ] {
            assert!(said.contains(&line), "{line} in {said}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_configuration_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("registry.yaml");
    let path = file.to_string_lossy();
    for text in [None, Some("- a\n- list\n"), Some("listen: [\n"), Some("\tlisten: x\n"), Some("\u{0}")] {
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let (code, said) = run(&["--check", "--config", &path], &[], "See --help").await;
        assert!(code == Some(EXIT_USAGE) && said.contains(&*path), "{text:?}: {said}");
    }
}

#[tokio::test]
async fn check_says_that_all_is_well_and_starts_nothing() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    let url = format!("file:{}", store.display());
    let (code, said) = run(&["--check", "--store", &url], &[], "valid").await;
    assert!(code == Some(0) && said.contains("the configuration is valid"), "{said}");
    assert!(!store.exists());
}

#[tokio::test]
async fn help_lists_every_setting_with_its_variable_and_its_default() {
    let (code, said) = run(&["--help"], &[], "--version").await;
    assert_eq!(code, Some(0), "{said}");
    for setting in PROGRAM.settings {
        let flag = format!("--{} <{}>", setting.name.replace('_', "-"), setting.value);
        let variable = format!("{}_{}", PROGRAM.env_prefix, setting.name.to_uppercase());
        let default = format!("[default: {}]", setting.default);
        let entry =
            said.split_once(&flag).map_or("", |(_, rest)| rest.split("\n      --").next().unwrap_or(""));
        for part in [variable.as_str(), default.as_str(), setting.help] {
            assert!(entry.contains(part), "{flag} has no {part:?}: {entry:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_flag_is_named_with_what_was_meant() {
    let (code, said) = run(&["--retntion", "5"], &[], "--help").await;
    assert!(code == Some(EXIT_USAGE) && said.contains("--retention"), "{said}");
}
