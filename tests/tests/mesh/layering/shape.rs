//! What a file may look like.

use super::source::{File, Package, is_program, without_comments, without_tests};

/// Longest file without its tests, in lines.
const MAX_LINES: usize = 300;
/// Longest main.rs, in lines.
const MAX_PROGRAM_LINES: usize = 60;

/// What lib.rs does beside listing modules.
pub(super) fn definitions(package: &Package) -> Vec<String> {
    let lib = package.files().find(|(path, _)| *path == "lib.rs").map_or("", |(_, text)| text);
    let code = without_comments(lib);
    let code = code.lines().filter(|line| !line.starts_with("#![")).collect::<Vec<_>>().join("\n");
    let others = code.split(';').map(str::trim).filter(|item| !item.is_empty() && !is_listing(item));
    others.map(|item| format!("{}: lib.rs defines {item:?}", package.folder)).collect()
}

fn is_listing(item: &str) -> bool {
    let module = ["mod ", "pub mod "].iter().any(|listing| item.starts_with(listing));
    (module && !item.contains('{')) || item.starts_with("pub use ")
}

/// Files below `src` that no module lists: the compiler never sees them.
pub(super) fn orphans(package: &Package) -> Vec<String> {
    let is_orphan = |module: &Vec<&str>| {
        module.split_last().is_some_and(|(name, parent)| !package.children(parent).contains(name))
    };
    let modules = package.modules().map(|(module, _)| module).filter(is_orphan);
    modules.map(|module| format!("{}: nothing lists {}", package.folder, module.join("::"))).collect()
}

/// Programs that do more than to call their library.
pub(super) fn long_programs(package: &Package) -> Vec<String> {
    let programs = package.files().filter(|(path, _)| is_program(path));
    let long = programs.filter(|(_, text)| text.lines().count() > MAX_PROGRAM_LINES);
    long.map(|(path, text)| format!("{}/src/{path} has {} lines", package.folder, text.lines().count()))
        .collect()
}

/// What to say about a file that is too long.
pub(super) fn too_long(file: &File) -> Option<String> {
    let lines = without_tests(&file.text).lines().count();
    (lines > MAX_LINES).then(|| format!("{} has {lines} lines without its tests", file.path))
}

/// What to say about a file that does not say what it is for.
pub(super) fn silent(file: &File) -> Option<String> {
    let says = ["//! ", "#![doc = include_str!("].iter().any(|opening| file.text.starts_with(opening));
    (!says).then(|| format!("{} does not begin with what it is for", file.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: String) -> File {
        File { path: "planted.rs".to_owned(), text }
    }

    #[test]
    fn a_planted_definition_in_lib_rs_is_found() {
        let lists = "//! Doc.\n#![forbid(unsafe_code)]\n\npub mod a;\nmod b;\n// Why.\npub use a::{\n    A,\n    B,\n};\n";
        assert!(definitions(&Package::of(&[("lib.rs", lists)])).is_empty());
        for defined in ["pub struct C;", "use a::A;", "pub fn f() {}", "const N: usize = 1;", "mod c {}"] {
            let package = Package::of(&[("lib.rs", &format!("{lists}{defined}\n"))]);
            assert_eq!(definitions(&package).len(), 1, "{defined}");
        }
    }

    #[test]
    fn a_planted_file_that_nobody_lists_is_found() {
        let files =
            [("lib.rs", "mod a;\n"), ("main.rs", ""), ("bin/b.rs", ""), ("a.rs", "mod c;\n"), ("a/c.rs", "")];
        assert!(orphans(&Package::of(&files)).is_empty());
        let files = [("lib.rs", "mod a;\n"), ("a.rs", ""), ("a/c.rs", ""), ("d.rs", "")];
        assert_eq!(orphans(&Package::of(&files)).len(), 2);
    }

    #[test]
    fn planted_long_files_are_found_and_their_tests_do_not_count() {
        let code = |lines: usize| "//! Doc.\n".repeat(lines);
        let tests = "\n#[cfg(test)]\nmod tests {\n".to_owned() + &code(MAX_LINES);
        assert_eq!(too_long(&file(code(MAX_LINES) + &tests)), None);
        assert!(too_long(&file(code(MAX_LINES + 1))).is_some_and(|said| said.contains("301 lines")));
        let programs = [("main.rs", code(MAX_PROGRAM_LINES + 1)), ("bin/b.rs", code(MAX_PROGRAM_LINES))];
        let programs = programs.each_ref().map(|(path, text)| (*path, text.as_str()));
        assert_eq!(long_programs(&Package::of(&programs)), ["planted/src/main.rs has 61 lines"]);
    }

    #[test]
    fn a_planted_file_that_says_nothing_is_found() {
        assert!(silent(&file("use std::fs;\n".to_owned())).is_some());
        assert!(silent(&file("//! What it is for.\n".to_owned())).is_none());
    }
}
