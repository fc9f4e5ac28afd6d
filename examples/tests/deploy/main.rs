//! The deployment files and the example manifests: all of them parse, and what they say about each other is true.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod cluster;
mod single;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Every document of every YAML file below `directory`, with the file it stands in.
fn documents(directory: &str) -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
    let mut found = Vec::new();
    for file in yaml_files(&root) {
        for document in parse(&fs::read_to_string(&file).unwrap(), &file) {
            found.push((file.clone(), document));
        }
    }
    assert!(!found.is_empty(), "there is YAML below {directory}");
    found
}

fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files
}

fn parse(text: &str, file: &Path) -> Vec<Value> {
    serde_yaml::from_multiple(text).unwrap_or_else(|fault| panic!("{}: {fault}", file.display()))
}

/// The Kubernetes objects of this kind in a directory.
fn objects_in(directory: &str, kind: &str) -> Vec<Value> {
    let found = documents(directory).into_iter().map(|(_, object)| object);
    let found = found.filter(|object| object["kind"] == kind).collect::<Vec<_>>();
    assert!(!found.is_empty(), "there is a {kind}");
    found
}

fn compose() -> Value {
    let found = documents("deploy").into_iter().find(|(file, _)| file.ends_with("deploy/compose.yaml"));
    found.expect("there is a compose file").1
}

/// Items of a list, or nothing.
fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// All containers of a Deployment, the native sidecars first.
fn containers(deployment: &Value) -> impl Iterator<Item = &Value> {
    let pod = &deployment["spec"]["template"]["spec"];
    items(&pod["initContainers"]).iter().chain(items(&pod["containers"]))
}

fn sidecar(deployment: &Value) -> &Value {
    containers(deployment).find(|container| container["name"] == "mesh-sidecar").expect("there is a sidecar")
}
