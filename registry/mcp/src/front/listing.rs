//! The list of tools, page by page.
//!
//! Pages are named by the last tool of the page before, so a list that changes in between neither repeats nor hides
//! those that stay, and any replica can continue what another began.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;

/// Most tools of one page. A client of ten thousand needs 20 pages then; some stop at 64.
const PAGE_TOOLS: usize = 500;
/// Largest page, in bytes of its tools; a single tool may be larger.
const PAGE_BYTES: usize = 1024 * 1024;
/// What a cursor holds before the name, so that a text that is none of ours is recognised.
const CURSOR: &str = "after:";

/// A tool as `tools/list` shows it.
#[derive(Debug, Clone)]
pub struct ListedTool {
    /// The name by which it is called.
    pub name: String,
    /// The whole entry: a JSON object with this name, an `inputSchema`, and what else there is to say.
    pub entry: Box<RawValue>,
}

/// Tools in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    tools: Vec<ListedTool>,
}

/// A part of the list.
#[derive(Debug)]
pub(super) struct Page<'l> {
    pub(super) tools: &'l [ListedTool],
    /// Names the next page; absent on the last one.
    pub(super) next: Option<String>,
}

/// A cursor that is none of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadCursor;

// === impl Listing ===

impl Listing {
    /// Lists `tools` in the order of their names; of several with one name the first counts.
    pub fn new(tools: impl IntoIterator<Item = ListedTool>) -> Self {
        let mut tools = tools.into_iter().collect::<Vec<_>>();
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        tools.dedup_by(|later, earlier| later.name == earlier.name);
        Self { tools }
    }

    /// Whether it lists exactly these, which are in the order of their names.
    pub fn lists(&self, tools: &[ListedTool]) -> bool {
        let same = |(ours, theirs): (&ListedTool, &ListedTool)| {
            ours.name == theirs.name && ours.entry.get() == theirs.entry.get()
        };
        self.tools.len() == tools.len() && self.tools.iter().zip(tools).all(same)
    }

    /// The page that `cursor` names, the first without one.
    pub(super) fn page(&self, cursor: Option<&str>) -> Result<Page<'_>, BadCursor> {
        let start = match cursor {
            Some(cursor) => {
                let last = read_cursor(cursor)?;
                self.tools.partition_point(|tool| tool.name <= last)
            }
            None => 0,
        };
        let rest = self.tools.get(start..).unwrap_or_default();
        let (tools, after) = rest.split_at(fitting(rest));
        let last = tools.last().filter(|_| !after.is_empty());
        Ok(Page { tools, next: last.map(|tool| write_cursor(&tool.name)) })
    }
}

/// How many of these tools one page takes: one at least, if there is one.
fn fitting(tools: &[ListedTool]) -> usize {
    let mut bytes = 0;
    let fits = |tool: &&ListedTool| {
        bytes += tool.entry.get().len();
        bytes <= PAGE_BYTES
    };
    tools.iter().take(PAGE_TOOLS).take_while(fits).count().max(1).min(tools.len())
}

fn write_cursor(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR}{last}"))
}

fn read_cursor(cursor: &str) -> Result<String, BadCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| BadCursor)?;
    let text = String::from_utf8(bytes).map_err(|_| BadCursor)?;
    text.strip_prefix(CURSOR).map(str::to_owned).ok_or(BadCursor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(name: &str, padding: usize) -> ListedTool {
        let entry = format!(r#"{{"name":"{name}","description":"{}"}}"#, "x".repeat(padding));
        ListedTool { name: name.to_owned(), entry: RawValue::from_string(entry).unwrap() }
    }

    /// The names on each page, from the first to the last.
    fn pages(listing: &Listing) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut cursor = None;
        loop {
            let page = listing.page(cursor.as_deref()).unwrap();
            pages.push(page.tools.iter().map(|tool| tool.name.clone()).collect());
            match page.next {
                Some(next) => cursor = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn ten_thousand_tools_come_in_twenty_pages() {
        let listing = Listing::new((0..10_000).map(|i| tool(&format!("t{i:05}"), 0)));
        let pages = pages(&listing);
        assert_eq!((pages.len(), pages.iter().map(Vec::len).sum::<usize>()), (20, 10_000));
    }

    #[test]
    fn large_tools_make_small_pages_and_none_is_too_large_to_be_listed() {
        let sizes = [("a", 600_000), ("b", 600_000), ("c", 3_000_000), ("d", 10), ("e", 10)];
        let listing = Listing::new(sizes.map(|(name, size)| tool(name, size)));
        assert_eq!(pages(&listing), [vec!["a"], vec!["b"], vec!["c"], vec!["d", "e"]]);
    }

    #[test]
    fn a_page_goes_on_after_its_tool_even_when_that_is_gone() {
        let listing = Listing::new([tool("a", 0), tool("c", 0)]);
        let page = listing.page(Some(&write_cursor("b"))).unwrap();
        assert_eq!(page.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["c"]);
        assert!(listing.page(Some(&write_cursor("z"))).unwrap().tools.is_empty());
        assert!(Listing::default().page(None).unwrap().next.is_none());
    }

    #[test]
    fn a_cursor_that_is_none_of_ours_is_refused() {
        for cursor in ["", "garbage", "%%%", "Z2FyYmFnZQ", "_____w"] {
            assert_eq!(Listing::default().page(Some(cursor)).unwrap_err(), BadCursor, "{cursor}");
        }
    }

    #[test]
    fn one_name_is_listed_once() {
        assert_eq!(pages(&Listing::new([tool("a", 1), tool("a", 2)])), [["a"]]);
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_its_cursor(name in ".{0,80}") {
            prop_assert_eq!(read_cursor(&write_cursor(&name)), Ok(name));
        }
    }
}
