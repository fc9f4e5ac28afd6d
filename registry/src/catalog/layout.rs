//! Where the parts of a registration lie in its JSON, so that answers are put together from its bytes. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The parts of a registration's JSON that answers need one by one.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are those of the registration's fields")]
pub struct Layout {
    pub id: Span,
    pub name: Span,
    pub namespace: Span,
    pub endpoint: Span,
    pub labels: Span,
    pub weight: Span,
    pub metadata: Span,
    /// By name, then by version: the order in which answers list them.
    pub capabilities: Box<[Part]>,
}

/// One capability in the JSON.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Where it is.
    pub span: Span,
    /// Differs when its row in an answer does, but for the status.
    pub fingerprint: u64,
}

/// Some bytes of the JSON, counted from its beginning. Documents are smaller than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

#[derive(Deserialize)]
struct Parts<'d> {
    #[serde(borrow)]
    id: &'d RawValue,
    #[serde(borrow)]
    name: &'d RawValue,
    #[serde(borrow)]
    namespace: &'d RawValue,
    #[serde(borrow)]
    endpoint: &'d RawValue,
    #[serde(borrow)]
    labels: &'d RawValue,
    #[serde(borrow)]
    weight: &'d RawValue,
    #[serde(borrow)]
    metadata: &'d RawValue,
    #[serde(borrow)]
    capabilities: Vec<&'d RawValue>,
}

impl Layout {
    /// Finds the parts of `document`; `order` lists the capabilities by name and version.
    ///
    /// # Errors
    /// When it is no registration.
    pub fn of(document: &str, order: &[usize]) -> serde_json::Result<Self> {
        let parts = serde_json::from_str::<Parts<'_>>(document)?;
        let span = |part: &RawValue| Span::of(document, part.get());
        let shown = [parts.id, parts.name, parts.namespace, parts.endpoint, parts.labels, parts.weight];
        let add = |seed, part: &RawValue| xxh3_64_with_seed(part.get().as_bytes(), seed);
        let agent = shown.into_iter().fold(0, add);
        let part = |part: &RawValue| Part { span: span(part), fingerprint: add(agent, part) };
        Ok(Self {
            id: span(parts.id),
            name: span(parts.name),
            namespace: span(parts.namespace),
            endpoint: span(parts.endpoint),
            labels: span(parts.labels),
            weight: span(parts.weight),
            metadata: span(parts.metadata),
            capabilities: order
                .iter()
                .filter_map(|i| parts.capabilities.get(*i))
                .map(|one| part(one))
                .collect(),
        })
    }

    /// How many bytes the parts have that the row of capability number `index` is made of.
    pub fn row_bytes(&self, index: usize) -> usize {
        let capability = self.capabilities.get(index).map_or(0, |part| part.span.size());
        let agent = [self.id, self.name, self.namespace, self.endpoint, self.labels, self.weight];
        capability + agent.into_iter().map(Span::size).sum::<usize>()
    }
}

impl Span {
    fn size(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Where `part` lies in `document`, of which it is a slice.
    fn of(document: &str, part: &str) -> Self {
        let start = part.as_ptr() as usize - document.as_ptr() as usize;
        Self { start: start as u32, end: (start + part.len()) as u32 }
    }

    /// The bytes themselves.
    pub fn bytes(self, document: &str) -> &[u8] {
        document.as_bytes().get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// All bytes before them.
    pub fn before(self, document: &str) -> &[u8] {
        document.as_bytes().get(..self.start as usize).unwrap_or_default()
    }

    /// All bytes behind them.
    pub fn behind(self, document: &str) -> &[u8] {
        document.as_bytes().get(self.end as usize..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_where_it_is_said_to_be() {
        let document = r#"{"id":"a","name":"Ä \" {","namespace":"n","endpoint":"e","capabilities":[{"name":"b"},{"name":"a"}],"labels":{"x":"y"},"weight":1.0,"metadata":{}}"#;
        let layout = Layout::of(document, &[1, 0]).unwrap();
        let text = |span: Span| std::str::from_utf8(span.bytes(document)).unwrap();
        assert_eq!((text(layout.name), text(layout.labels)), (r#""Ä \" {""#, r#"{"x":"y"}"#));
        assert_eq!(
            layout.capabilities.iter().map(|part| text(part.span)).collect::<String>(),
            r#"{"name":"a"}{"name":"b"}"#
        );
        assert_eq!(layout.metadata.behind(document), b"}");
        assert!(layout.metadata.before(document).ends_with(br#""metadata":"#));
    }

    #[test]
    fn what_is_no_registration_has_no_layout() {
        assert!(Layout::of("{}", &[]).is_err() && Layout::of("", &[]).is_err());
    }
}
