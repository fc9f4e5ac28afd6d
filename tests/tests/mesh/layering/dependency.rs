//! What manifests say about the packages of the workspace.

use std::fs;
use std::path::Path;

/// How the names of our packages begin.
const OURS: &str = "mesh-";

/// The members that the workspace's manifest lists, sorted.
pub(super) fn members(manifest: &Path) -> Vec<String> {
    let text = read(manifest);
    let list = text
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    let mut members = list.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    members.sort_unstable();
    members
}

/// Packages of ours on which a package is built. What only its tests use does not count.
pub(super) fn ours(manifest: &Path) -> Vec<String> {
    in_section(&read(manifest), "[dependencies]")
}

fn in_section(manifest: &str, section: &str) -> Vec<String> {
    let after = manifest.lines().skip_while(|line| *line != section).skip(1);
    let lines = after.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with(OURS)).map(str::to_owned).collect()
}

fn read(manifest: &Path) -> String {
    fs::read_to_string(manifest).unwrap_or_else(|fault| panic!("{}: {fault}", manifest.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_told_from_those_of_tests() {
        let manifest = "[package]\nname = \"mesh-x\"\n\n[dependencies]\nbytes.workspace = true\nmesh-a.workspace = true\n\
                        mesh-b = { path = \"b\" }\n\n[dev-dependencies]\nmesh-c.workspace = true\n";
        assert_eq!(in_section(manifest, "[dependencies]"), ["mesh-a", "mesh-b"]);
    }
}
