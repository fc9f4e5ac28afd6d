//! The shape of the sources: crates form a line, modules form a line, lib.rs only lists, files stay small and say what
//! they are for. A plain scan of the text, so that it holds for whoever writes the next file.

mod order;
mod shape;

mod dependency;
mod path;

mod source;

use self::source::{Package, every_file, workspace};

/// Every package of the workspace, bottom to top, and which others it may be built on.
const LINE: [(&str, &[&str]); 8] = [
    ("registry/api", &[]),
    ("registry/mcp", &[]),
    ("registry/daemon", &["mesh-api"]),
    ("registry/client", &["mesh-api"]),
    ("registry", &["mesh-api", "mesh-mcp", "mesh-daemon"]),
    ("sidecar", &["mesh-api", "mesh-mcp", "mesh-daemon", "mesh-client"]),
    ("examples", &["mesh-registry", "mesh-sidecar"]),
    ("tests", &["mesh-api", "mesh-client", "mesh-daemon", "mesh-registry", "mesh-sidecar", "mesh-examples"]),
];

/// Fails with all offences, if there are any.
fn expect_none(offences: Vec<String>) {
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}

fn packages() -> impl Iterator<Item = Package> {
    LINE.iter().map(|(folder, _)| Package::read(folder))
}

#[test]
fn crates_form_a_line() {
    let members = dependency::members(&workspace().join("Cargo.toml"));
    let mut known = LINE.map(|(folder, _)| folder);
    known.sort_unstable();
    assert_eq!(members, known, "every member of the workspace has its place in the line");
    let offences = LINE.iter().flat_map(|(folder, below)| {
        let used = dependency::ours(&workspace().join(folder).join("Cargo.toml"));
        let above = used.into_iter().filter(|name| !below.contains(&name.as_str()));
        above.map(move |name| format!("{folder} must not depend on {name}")).collect::<Vec<_>>()
    });
    expect_none(offences.collect());
}

#[test]
fn modules_use_only_what_is_below_them() {
    expect_none(packages().flat_map(|package| order::offences(&package)).collect());
}

#[test]
fn lib_rs_defines_nothing_and_lists_every_file() {
    let offences = |package: Package| [shape::definitions(&package), shape::orphans(&package)].concat();
    expect_none(packages().flat_map(offences).collect());
}

#[test]
fn programs_are_short() {
    expect_none(packages().flat_map(|package| shape::long_programs(&package)).collect());
}

#[test]
fn files_are_small() {
    expect_none(every_file().iter().filter_map(shape::too_long).collect());
}

#[test]
fn every_file_says_what_it_is_for() {
    expect_none(every_file().iter().filter_map(shape::silent).collect());
}
