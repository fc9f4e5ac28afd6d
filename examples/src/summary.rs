//! Extractive summaries: the most telling sentences of a text, in their own words and in their own order.
//!
//! The tool `summarize` calls this. It is deterministic: the same text always gives the same summary, which lets a
//! test compare the answers of two replicas.

use std::collections::{HashMap, HashSet};

use crate::prose;

/// Sentences in a summary when the caller does not say how many.
pub const DEFAULT_SENTENCES: usize = 2;

/// Words of fewer characters are mostly articles and prepositions, which every sentence has: they tell nothing.
const SHORTEST_TELLING_WORD: usize = 4;

/// A shortened text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The chosen sentences, joined with spaces.
    pub text: String,
    /// How many sentences it has.
    pub sentences: usize,
    /// How many words the whole text had.
    pub words: usize,
}

/// Picks the `limit` most telling sentences of `text`; all of them when it has no more.
///
/// A sentence tells as much as its different long words occur in the whole text, on average; this is Luhn's idea of
/// 1958 in its simplest form. Of two equal sentences the earlier one wins.
pub fn summarize(text: &str, limit: usize) -> Summary {
    let sentences = prose::sentences(text);
    let frequencies = frequencies(text);
    let mut ranked =
        sentences.iter().map(|sentence| weight(sentence, &frequencies)).enumerate().collect::<Vec<_>>();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let chosen = ranked.iter().take(limit).map(|(position, _)| *position).collect::<HashSet<_>>();
    let kept = (0..).zip(sentences).filter(|(position, _)| chosen.contains(position));
    let kept = kept.map(|(_, sentence)| sentence).collect::<Vec<_>>();
    Summary { text: kept.join(" "), sentences: kept.len(), words: prose::words(text).count() }
}

/// How often each telling word occurs.
fn frequencies(text: &str) -> HashMap<String, usize> {
    let mut frequencies = HashMap::new();
    for word in telling(text) {
        *frequencies.entry(word).or_default() += 1;
    }
    frequencies
}

/// Mean frequency of the different telling words of `sentence`; 0 when it has none.
fn weight(sentence: &str, frequencies: &HashMap<String, usize>) -> f64 {
    let words = telling(sentence).collect::<HashSet<_>>();
    let total = words.iter().filter_map(|word| frequencies.get(word)).sum::<usize>();
    if words.is_empty() { 0.0 } else { total as f64 / words.len() as f64 }
}

fn telling(text: &str) -> impl Iterator<Item = String> {
    prose::words(text).filter(|word| word.chars().count() >= SHORTEST_TELLING_WORD).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "The weather was nice. A registry knows every agent. The registry forgets an agent that \
                        stays silent. Somebody made coffee.";

    #[test]
    fn the_sentences_about_the_main_words_are_picked() {
        let summary = summarize(TEXT, 2);
        assert_eq!(
            summary.text,
            "A registry knows every agent. The registry forgets an agent that stays silent."
        );
        assert_eq!((summary.sentences, summary.words), (2, 20));
    }

    #[test]
    fn sentences_stay_in_their_order() {
        let summary = summarize("Once. Mesh mesh agents again. Twice. Mesh agents.", 2);
        assert_eq!(summary.text, "Mesh mesh agents again. Mesh agents.");
    }

    #[test]
    fn a_short_text_is_its_own_summary() {
        assert_eq!(summarize("One. Two.", 5), Summary { text: "One. Two.".into(), sentences: 2, words: 2 });
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert_eq!(summarize(" \n\n ", 3), Summary { text: String::new(), sentences: 0, words: 0 });
    }

    #[test]
    fn of_two_equal_sentences_the_earlier_one_wins() {
        assert_eq!(summarize("Alpha beta. Gamma delta.", 1).text, "Alpha beta.");
    }
}
