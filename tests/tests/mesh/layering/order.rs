//! The rule of the line: a module uses what it contains and what is listed below it, and nothing else of its crate.

use super::path::{Found, paths};
use super::source::{Package, without_comments, without_tests};

/// Every use of a module that is not below, with its place.
pub(super) fn offences(package: &Package) -> Vec<String> {
    package.modules().flat_map(|(module, text)| of_module(package, &module, text)).collect()
}

fn of_module(package: &Package, module: &[&str], text: &str) -> Vec<String> {
    let tests_begin = without_tests(text).lines().count();
    let mut offences = Vec::new();
    for Found { line, path } in paths(&without_comments(text)) {
        // Tests are a module inside this one, so their `super` is this one.
        let inner = if line > tests_begin { Some("tests") } else { None };
        let from = module.iter().copied().chain(inner).collect::<Vec<_>>();
        let target = module_of(package, &absolute(&from, &path));
        if let Some(reason) = fault(package, module, &target) {
            let (folder, name, path) = (&package.folder, module.join("::"), path.join("::"));
            offences.push(format!("{folder}: {name}, line {line}: {path} {reason}"));
        }
    }
    offences
}

/// Why `module` may not use `target`, both from the root.
fn fault(package: &Package, module: &[&str], target: &[String]) -> Option<String> {
    let shared = module.iter().zip(target).take_while(|(a, b)| *a == *b).count();
    let (Some(own), Some(other)) = (module.get(shared), target.get(shared)) else {
        // Whatever is inside the module is its own; what is left are those that contain it.
        return (shared < module.len()).then(|| "belongs to a module that contains this one".to_owned());
    };
    let siblings = package.children(&module[..shared]);
    let place = |name: &str| siblings.iter().position(|sibling| *sibling == name);
    (place(other) <= place(own)).then(|| format!("is used by {own}, which is not listed above {other}"))
}

/// The path from the root of the crate.
fn absolute(from: &[&str], path: &[String]) -> Vec<String> {
    let mut absolute = from.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for name in path {
        match name.as_str() {
            "crate" => absolute.clear(),
            "super" => drop(absolute.pop()),
            "self" => {}
            _ => absolute.push(name.clone()),
        }
    }
    absolute
}

/// The modules at the beginning of a path, without the item at its end.
fn module_of(package: &Package, path: &[String]) -> Vec<String> {
    let mut module = Vec::<&str>::new();
    for name in path {
        if !package.children(&module).contains(&name.as_str()) {
            break;
        }
        module.push(name);
    }
    module.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! Doc.\npub mod server;\n\nmod catalog;\npub mod error;\n";
    const CATALOG: &str =
        "mod query;\nmod record;\nuse self::query::Query;\nuse crate::error::Error;\nstruct Catalog;\n";

    /// What is said about a crate with this in one of its files.
    fn said_of(file: &str, text: &str) -> Vec<String> {
        let files =
            [("lib.rs", LIB), ("server.rs", "use crate::catalog::Catalog;\n"), ("catalog.rs", CATALOG)];
        let others =
            files.into_iter().chain([("error.rs", ""), ("catalog/query.rs", ""), ("catalog/record.rs", "")]);
        let files = others.map(|(path, usual)| (path, if path == file { text } else { usual }));
        offences(&Package::of(&files.collect::<Vec<_>>()))
    }

    #[test]
    fn uses_that_point_down_are_fine() {
        assert!(said_of("", "").is_empty());
        for (file, text) in [
            ("server.rs", "use crate::{catalog::{self, Catalog}, error};\n"),
            ("catalog/query.rs", "use super::record::Record;\nuse crate::error::Error;\n"),
            ("catalog/query.rs", "// crate::server is above\nfn f() {} // super::Catalog too\n"),
            (
                "catalog/query.rs",
                "struct Query;\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use super::Query;\n}\n",
            ),
            ("main.rs", "use crate::server::Server;\n"),
        ] {
            assert!(said_of(file, text).is_empty(), "{file}: {:?}", said_of(file, text));
        }
    }

    #[test]
    fn a_planted_use_that_points_up_is_found() {
        for (file, text, line, path) in [
            ("error.rs", "\nuse crate::catalog::Catalog;\n", 2, "crate::catalog::Catalog"),
            ("error.rs", "fn f(server: crate::server::Server) {}\n", 1, "crate::server::Server"),
            ("catalog.rs", "mod query;\nmod record;\nuse crate::{error, server};\n", 3, "crate::server"),
            ("catalog/record.rs", "use super::query::Query;\n", 1, "super::query::Query"),
            ("catalog/record.rs", "use crate::server;\n", 1, "crate::server"),
            ("catalog/query.rs", "use super::Catalog;\n", 1, "super::Catalog"),
            ("catalog/query.rs", "use super::*;\n", 1, "super::*"),
            ("catalog/query.rs", "use crate::catalog::Catalog;\n", 1, "crate::catalog::Catalog"),
            ("catalog/query.rs", "use crate::DEFINED_IN_LIB;\n", 1, "crate::DEFINED_IN_LIB"),
            ("error.rs", "\n#[cfg(test)]\nmod tests {\n    use crate::server;\n}\n", 4, "crate::server"),
        ] {
            let said = said_of(file, text);
            assert!(
                matches!(&said[..], [one] if one.contains(&format!("line {line}: {path} "))),
                "{file} {text:?}: {said:?}"
            );
        }
    }
}
