//! Finds the paths in a text that begin at `crate`, `self` or `super`, with what stands in braces taken apart.

use std::iter::Peekable;
use std::str::CharIndices;

/// A path, and the line where it begins, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) line: usize,
    pub(super) path: Vec<String>,
}

/// All paths of a text without comments, also those within expressions.
pub(super) fn paths(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut chars = text.char_indices().peekable();
    // A word after `::` is inside a path, and one after `$` belongs to a macro's own crate.
    let mut before = ' ';
    while let Some((at, char)) = chars.next() {
        if is_word(char) && before != ':' && before != '$' {
            let first = word(text, at, &mut chars);
            if matches!(first, "crate" | "self" | "super") && takes(&mut chars, "::") {
                let line = text[..at].matches('\n').count() + 1;
                let mut paths = Vec::new();
                tree(text, vec![first.to_owned()], &mut chars, &mut paths);
                found.extend(paths.into_iter().map(|path| Found { line, path }));
            }
        } else if is_word(char) {
            word(text, at, &mut chars);
        }
        before = char;
    }
    found
}

/// What follows `prefix::`: a word and perhaps more, a list in braces, or everything.
fn tree(
    text: &str,
    mut prefix: Vec<String>,
    chars: &mut Peekable<CharIndices<'_>>,
    found: &mut Vec<Vec<String>>,
) {
    loop {
        skip_space(chars);
        match chars.peek().copied() {
            Some((_, '{')) => {
                chars.next();
                return list(text, &prefix, chars, found);
            }
            Some((at, char)) if is_word(char) => {
                chars.next();
                let word = word(text, at, chars);
                // `self` in braces is the module before them.
                if word != "self" {
                    prefix.push(word.to_owned());
                }
                if !takes(chars, "::") {
                    return found.push(prefix);
                }
            }
            Some((_, '*')) => {
                chars.next();
                prefix.push("*".to_owned());
                return found.push(prefix);
            }
            // Type arguments of what the path names: `Vec::<u8>`.
            _ => return found.push(prefix),
        }
    }
}

fn list(text: &str, prefix: &[String], chars: &mut Peekable<CharIndices<'_>>, found: &mut Vec<Vec<String>>) {
    loop {
        skip_space(chars);
        match chars.peek() {
            Some((_, char)) if is_word(*char) || *char == '*' || *char == '{' => {
                tree(text, prefix.to_vec(), chars, found);
                // `as another_name`
                while chars.next_if(|(_, char)| !matches!(char, ',' | '}')).is_some() {}
            }
            Some((_, ',')) => _ = chars.next(),
            _ => {
                chars.next();
                return;
            }
        }
    }
}

/// The rest of the word that begins at `at`.
fn word<'t>(text: &'t str, at: usize, chars: &mut Peekable<CharIndices<'_>>) -> &'t str {
    while chars.next_if(|(_, char)| is_word(*char)).is_some() {}
    let end = chars.peek().map_or(text.len(), |(end, _)| *end);
    &text[at..end]
}

fn takes(chars: &mut Peekable<CharIndices<'_>>, expected: &str) -> bool {
    expected.chars().all(|expected| chars.next_if(|(_, char)| *char == expected).is_some())
}

fn skip_space(chars: &mut Peekable<CharIndices<'_>>) {
    while chars.next_if(|(_, char)| char.is_whitespace()).is_some() {}
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        paths(text).into_iter().map(|found| (found.line, found.path.join("::"))).collect()
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = "use crate::a::{self, b::{C, D as E},\n    f};\nuse super::*;\n";
        let expected = ["crate::a", "crate::a::b::C", "crate::a::b::D", "crate::a::f", "super::*"];
        assert!(found(text).into_iter().map(|(_, path)| path).eq(expected), "{:?}", found(text));
        assert_eq!(found(text).last().map(|(line, _)| *line), Some(3));
    }

    #[test]
    fn paths_within_expressions_are_found_and_other_words_are_not() {
        let text = "pub(crate) fn f(a: crate::b::C<super::D>) {\n  crate::e::f::<u8>(self.g, my_crate::h, $crate::i)\n}";
        let expected = [(1, "crate::b::C"), (1, "super::D"), (2, "crate::e::f")];
        assert_eq!(found(text), expected.map(|(line, path)| (line, path.to_owned())));
    }
}
