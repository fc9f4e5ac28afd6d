//! What the pages share: their style, what they may load, and how text becomes HTML.

/// A page needs nothing but its own style.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Everything before the first heading of a page.
pub(super) const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>mesh-registry</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color-scheme:light dark}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #8884;\
vertical-align:top}code{overflow-wrap:anywhere}.healthy{color:#2a8a3e}.degraded,.draining{color:#b87900}\
.expired,.offline{color:#c33}.pending{opacity:.7}nav{columns:22rem;margin-bottom:2rem}nav a{display:block}\
section{border-top:3px solid #8884;padding:.5rem 0 2rem}pre{background:#8882;padding:.8rem;overflow-x:auto}\
pre code{user-select:all}td:first-child{white-space:nowrap}details{margin:.4rem 0}</style></head><body>";

/// Everything after the last line of a page.
pub(super) const END: &str = "</body></html>";

/// Text as it may stand in HTML, between tags and in quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Prose with `code` and lines as HTML.
pub(super) fn prose(text: &str) -> String {
    let part = |(i, part): (usize, &str)| match i % 2 {
        0 => escaped(part).replace('\n', "<br>"),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    text.split('`').enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_say_cannot_become_markup() {
        assert_eq!(escaped("<b a='1'>\"&"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;");
    }

    #[test]
    fn code_and_lines_of_prose_are_kept() {
        assert_eq!(prose("a `<b>`:\nc"), "a <code>&lt;b&gt;</code>:<br>c");
    }
}
