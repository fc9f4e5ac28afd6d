//! The sources as text, by package and by file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where tests begin in a file; what comes before is the code itself.
const TESTS: &str = "\n#[cfg(test)]\nmod tests {";

/// The library of one package: its files below `src`, by their paths there.
#[derive(Debug, Default)]
pub(super) struct Package {
    /// Where it is, for messages.
    pub(super) folder: String,
    files: BTreeMap<String, String>,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    /// Its path below the workspace, for messages.
    pub(super) path: String,
    pub(super) text: String,
}

/// The top of the workspace.
pub(super) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace").to_owned()
}

/// Every Rust file of the workspace.
pub(super) fn every_file() -> Vec<File> {
    let top = workspace();
    let files = ["registry", "sidecar", "examples", "tests"].map(|folder| rust_files(&top.join(folder)));
    let file = |path: PathBuf| File { path: relative(&path, &top), text: read(&path) };
    files.into_iter().flatten().map(file).collect()
}

/// The code of a file without its tests.
pub(super) fn without_tests(text: &str) -> &str {
    text.split_once(TESTS).map_or(text, |(code, _)| code)
}

/// A text line by line without comments; their lines stay, empty.
pub(super) fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.trim_start().starts_with("//") {
        true => String::new(),
        false => line.split(" // ").next().unwrap_or_default().to_owned(),
    };
    text.lines().map(|line| code(line) + "\n").collect()
}

// === impl Package ===

impl Package {
    /// The package in `folder` of the workspace.
    pub(super) fn read(folder: &str) -> Self {
        let src = workspace().join(folder).join("src");
        let files = rust_files(&src).into_iter().map(|path| (relative(&path, &src), read(&path)));
        Self { folder: folder.to_owned(), files: files.collect() }
    }

    /// A package that is not on the disk.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self { folder: "planted".to_owned(), files: files.collect() }
    }

    /// Its files, the binaries too.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Its modules, each with its path from the root; the root's own is empty.
    pub(super) fn modules(&self) -> impl Iterator<Item = (Vec<&str>, &str)> {
        let in_library = self.files().filter(|(path, _)| !is_program(path));
        in_library.map(|(path, text)| match path.strip_suffix(".rs") {
            Some("lib") | None => (Vec::new(), text),
            Some(path) => (path.split('/').collect(), text),
        })
    }

    /// The modules that `module` lists, top to bottom.
    pub(super) fn children(&self, module: &[&str]) -> Vec<&str> {
        let path = if module.is_empty() { "lib.rs".to_owned() } else { module.join("/") + ".rs" };
        let lines = self.files.get(&path).map_or("", |text| without_tests(text)).lines();
        lines.filter_map(listed).collect()
    }
}

/// Whether a file below `src` is a binary of its own.
pub(super) fn is_program(path: &str) -> bool {
    path == "main.rs" || path.starts_with("bin/")
}

/// The module that a line declares.
fn listed(line: &str) -> Option<&str> {
    let declaration =
        line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"))?;
    declaration.1.strip_suffix(';')
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
    let mut paths = entries.map(|entry| entry.expect("an entry of a folder").path()).collect::<Vec<_>>();
    paths.sort();
    let inside = |path: PathBuf| match path.is_dir() {
        true => rust_files(&path),
        false => vec![path],
    };
    paths
        .into_iter()
        .flat_map(inside)
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

fn relative(path: &Path, top: &Path) -> String {
    path.strip_prefix(top).expect("a path below the top").to_string_lossy().replace('\\', "/")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}
