//! Cuts prose into sentences and words.
//!
//! The summariser and the word count read text through here, so both agree on what a word is. It knows no
//! language: punctuation and white space are all it looks at.

/// The sentences of `text`, trimmed, in order; each has at least one word.
///
/// A sentence ends with `.`, `!` or `?` before white space, or with an empty line; `3.14` and `e.g.,` stay whole.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for (end, next) in ends(text) {
        sentences.extend(text.get(start..end));
        start = next;
    }
    sentences.extend(text.get(start..));
    sentences.retain(|sentence| words(sentence).next().is_some());
    sentences.iter().map(|sentence| sentence.trim()).collect()
}

/// The words of `text` in order: runs of letters and digits, with apostrophes and hyphens inside them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’' | '-')))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}

/// Where sentences end, and where what follows begins.
fn ends(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut characters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        while let Some((at, this)) = characters.next() {
            let Some(&(after, next)) = characters.peek() else { break };
            let stop = matches!(this, '.' | '!' | '?') && next.is_whitespace();
            let empty_line = this == '\n' && next == '\n';
            if stop || empty_line {
                return Some((at + this.len_utf8(), after));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_at_punctuation_before_white_space() {
        let text = "Pi is 3.14. Really? Yes!\nNo full stop at the end";
        assert_eq!(sentences(text), ["Pi is 3.14.", "Really?", "Yes!", "No full stop at the end"]);
    }

    #[test]
    fn an_empty_line_ends_a_heading() {
        assert_eq!(sentences("Heading\n\nThe text."), ["Heading", "The text."]);
    }

    #[test]
    fn punctuation_alone_is_no_sentence() {
        assert!(sentences(" … ! ? . \n\n ").is_empty());
    }

    #[test]
    fn words_keep_what_is_inside_them_and_lose_what_is_around() {
        let text = "\"Don't\" re-use it – größer, 42!";
        assert_eq!(words(text).collect::<Vec<_>>(), ["Don't", "re-use", "it", "größer", "42"]);
    }
}
