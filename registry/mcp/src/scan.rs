//! Finds out where JSON values end, without looking at what they mean.
//!
//! What passes through unparsed has to be checked all the same: arguments that are no JSON would break the request that they
//! are put into. A parser that builds nothing still costs a call a tenth of everything. Where this finds no value, a parser
//! says why.

use std::ops::Range;

/// The one value in `text`, which may have space around it.
pub fn whole(text: &[u8]) -> Option<Range<usize>> {
    let begin = space(checked(text)?, 0);
    let end = value(text, begin)?;
    (space(text, end) == text.len()).then_some(begin..end)
}

/// Calls `member` with the name of each member of the one object in `text`, without its quotes, and with its value; none of
/// the names has an escape in it. `None` when there is no such object, or when `member` says so.
pub fn members<'t>(text: &'t [u8], mut member: impl FnMut(&'t [u8], &'t [u8]) -> Option<()>) -> Option<()> {
    let mut at = space(checked(text)?, 0);
    expect(text, at, b'{')?;
    at = space(text, at + 1);
    if text.get(at) != Some(&b'}') {
        loop {
            let begin = key(text, at)?;
            let name = name_of(&text[at..begin])?;
            let begin = space(text, begin);
            let end = value(text, begin)?;
            member(name, &text[begin..end])?;
            at = space(text, end);
            match text.get(at)? {
                b',' => at = space(text, at + 1),
                b'}' => break,
                _ => return None,
            }
        }
    }
    (space(text, at + 1) == text.len()).then_some(())
}

/// Strings are UTF-8, as everything else is.
fn checked(text: &[u8]) -> Option<&[u8]> {
    // Nearly all of it is ASCII, which is seen sooner.
    (text.is_ascii() || std::str::from_utf8(text).is_ok()).then_some(text)
}

/// The name in a key and its colon.
fn name_of(key: &[u8]) -> Option<&[u8]> {
    let end = key.iter().rposition(|&byte| byte == b'"')?;
    let name = key.get(1..end)?;
    (!name.contains(&b'\\')).then_some(name)
}

/// Where the value that begins at `at` ends.
fn value(text: &[u8], mut at: usize) -> Option<usize> {
    // What is open, innermost last: 1 for an object, 0 for an array. The first 1 stands for what is around it all.
    let mut open: u128 = 1;
    loop {
        at = match *text.get(at)? {
            b'"' => string(text, at + 1)?,
            b'{' => {
                open = enter(open, 1)?;
                at = space(text, at + 1);
                if text.get(at) != Some(&b'}') {
                    at = space(text, key(text, at)?);
                    continue;
                }
                at
            }
            b'[' => {
                open = enter(open, 0)?;
                at = space(text, at + 1);
                if text.get(at) != Some(&b']') {
                    continue;
                }
                at
            }
            b't' => word(text, at, b"true")?,
            b'f' => word(text, at, b"false")?,
            b'n' => word(text, at, b"null")?,
            _ => number(text, at)?,
        };
        // A value has ended, or something empty is about to.
        loop {
            if open == 1 {
                return Some(at);
            }
            at = space(text, at);
            match (text.get(at)?, open & 1) {
                (b',', 0) => at = space(text, at + 1),
                (b',', _) => at = space(text, key(text, space(text, at + 1))?),
                (b'}', 1) | (b']', 0) => {
                    open >>= 1;
                    at += 1;
                    continue;
                }
                _ => return None,
            }
            break;
        }
    }
}

fn enter(open: u128, kind: u128) -> Option<u128> {
    (open.leading_zeros() > 0).then_some(open << 1 | kind)
}

fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(word).then_some(at + word.len())
}

/// Where the colon after the key at `at` ends.
fn key(text: &[u8], at: usize) -> Option<usize> {
    let end = string(text, expect(text, at, b'"')?)?;
    expect(text, space(text, end), b':')
}

/// Where the string whose first character is at `at` ends, its quote included.
fn string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = plain(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    let digits = text.get(at + 2..at + 6)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    at += 6;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
}

/// The first byte from `at` on that means something in a string: a quote, a backslash or a control character.
fn plain(text: &[u8], mut at: usize) -> usize {
    for eight in text.get(at..).unwrap_or_default().as_chunks().0 {
        let found = stops(u64::from_le_bytes(*eight));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|&byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}

/// Marks the highest bit of each of eight bytes that means something in a string; above the lowest mark there may be false
/// ones.
fn stops(eight: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let is_zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes & HIGH;
    let is_control = eight.wrapping_sub(ONES * 0x20) & !eight & HIGH;
    is_zero(eight ^ (ONES * b'"' as u64)) | is_zero(eight ^ (ONES * b'\\' as u64)) | is_control
}

fn number(text: &[u8], at: usize) -> Option<usize> {
    let at = if text.get(at) == Some(&b'-') { at + 1 } else { at };
    let mut at = if text.get(at) == Some(&b'0') { at + 1 } else { digits(text, at)? };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = digits(text, at + 1 + usize::from(sign))?;
    }
    Some(at)
}

/// Where at least one digit ends.
fn digits(text: &[u8], at: usize) -> Option<usize> {
    let count = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// Text that is JSON, or nearly.
    fn nearly() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("[".to_owned()),
            Just("]".to_owned()),
            Just(",".to_owned()),
            Just(":".to_owned()),
            Just("\"a\":".to_owned()),
            Just("\"\"".to_owned()),
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            Just(" \n".to_owned()),
            "-?[0-9.eE+]{1,5}",
            "\"[a\\\\u\"\u{1}ü/n0]{0,12}\"",
            "\"\\\\u[0-9a-g]{4}\"",
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    /// A document, written with more or less space.
    fn document() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(serde_json::json!(null)),
            any::<bool>().prop_map(|it| it.into()),
            any::<i64>().prop_map(|it| it.into()),
            any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(|it| it.into()),
            ".{0,20}".prop_map(|it| it.into()),
        ];
        let value = leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(|it| it.into()),
                prop::collection::vec((".{0,6}", inner), 0..6)
                    .prop_map(|it| it.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        });
        (value, any::<bool>()).prop_map(|(value, pretty)| {
            if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() }
        })
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let parsed: Option<&RawValue> = serde_json::from_str(text).ok();
        let found = whole(text.as_bytes()).map(|found| &text[found]);
        prop_assert_eq!(found, parsed.map(RawValue::get), "{}", text);
        let parsed: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(text).ok();
        let mut found = BTreeMap::new();
        let outcome = members(text.as_bytes(), |name, value| {
            found.insert(String::from_utf8(name.to_vec()).unwrap(), std::str::from_utf8(value).unwrap());
            Some(())
        });
        if outcome.is_some() {
            let parsed = parsed.into_iter().flatten().map(|(name, value)| (name, value.get())).collect();
            prop_assert_eq!(found, parsed, "{}", text);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_is_nearly_json_is_taken_exactly_when_a_parser_takes_it(text in nearly()) {
            agrees(&text)?;
        }

        #[test]
        fn documents_are_found_as_a_parser_finds_them(text in document(), cut in any::<prop::sample::Index>()) {
            agrees(&text)?;
            let cut = (0..=cut.index(text.len() + 1)).rev().find(|&at| text.is_char_boundary(at)).unwrap();
            agrees(&text[..cut])?;
        }
    }

    #[test]
    fn what_is_deeper_than_128_or_no_utf8_is_left_to_the_parser() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(whole(nested(127).as_bytes()).is_some() && whole(nested(128).as_bytes()).is_none());
        assert!(whole(nested(1_000_000).as_bytes()).is_none());
        assert!(whole(b"\"\xff\"").is_none() && members(b"{\"\xff\":1}", |_, _| Some(())).is_none());
        assert!(members(br#"{"\u0061":1}"#, |_, _| Some(())).is_none());
    }
}
