//! Parameters of tools that calls of the current revision repeat in headers, so that intermediaries can route by them: those
//! whose schema has an `x-mcp-header` (revision 2026-07-28, "Streamable HTTP", custom headers from tool parameters).

use std::collections::{BTreeSet, HashMap};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::headers;
use crate::raw::Members;

/// Names the header in the schema of a parameter.
pub const ANNOTATION: &str = "x-mcp-header";
/// What the names of these headers begin with.
const PREFIX: &str = "mcp-param-";
/// Types of parameters that can stand in a header.
const TYPES: [&str; 3] = ["string", "integer", "boolean"];

/// A parameter that stands in a header as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    header: HeaderName,
    /// The names that lead to it.
    path: Vec<String>,
}

/// Those of several tools.
#[derive(Debug, Default)]
pub struct ToolParams(HashMap<String, Vec<ParamHeader>>);

/// Those of a tool with this schema.
///
/// # Errors
/// What is wrong with the schema. Clients leave out a tool of which something is.
pub fn of_schema(schema: &Map<String, Value>) -> Result<Vec<ParamHeader>, String> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found)?;
    let distinct: BTreeSet<_> = found.iter().map(|param| param.header.as_str()).collect();
    match distinct.len() == found.len() && count(schema) == found.len() {
        true => Ok(found),
        false => Err(format!("'{ANNOTATION}' must name every header once, and stand at properties alone")),
    }
}

/// The headers of a call with these arguments, a JSON object.
pub fn write(params: &[ParamHeader], arguments: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let written = params.iter().filter_map(|param| {
        let text = param.text(arguments).ok()??;
        Some((param.header.clone(), headers::value(&text)))
    });
    written.collect()
}

/// Whether the headers of a call agree with its arguments.
///
/// # Errors
/// Which one does not.
pub fn check(params: &[ParamHeader], arguments: &[u8], map: &HeaderMap) -> Result<(), String> {
    for param in params {
        let mut values = map.get_all(&param.header).iter();
        let (named, more) = (values.next(), values.next());
        let named = match named.map(headers::text) {
            Some(None) => return Err(format!("Header mismatch: {} cannot be read", param.header)),
            named => named.flatten(),
        };
        let inner = param.text(arguments).map_err(|()| {
            format!("Header mismatch: what the arguments say of {} cannot be read", param.header)
        })?;
        if more.is_some() || named != inner {
            let shown = |text: Option<String>| text.map_or("nothing".to_owned(), |text| format!("'{text}'"));
            return Err(format!(
                "Header mismatch: {} is {}, the arguments say {}",
                param.header,
                shown(named),
                shown(inner)
            ));
        }
    }
    Ok(())
}

/// Goes through the properties, and those of the properties.
fn collect(
    schema: &Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<ParamHeader>,
) -> Result<(), String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let Some(property) = property.as_object() else { continue };
        path.push(name.clone());
        if let Some(header) = property.get(ANNOTATION) {
            let header = header.as_str().filter(|header| !header.is_empty());
            let header = header.and_then(|header| format!("{PREFIX}{header}").parse().ok());
            let header = header.ok_or_else(|| format!("'{ANNOTATION}' of '{name}' names no header"))?;
            let is_plain =
                property.get("type").and_then(Value::as_str).is_some_and(|kind| TYPES.contains(&kind));
            if !is_plain {
                return Err(format!(
                    "'{name}' has an '{ANNOTATION}', but is neither text nor whole number nor boolean"
                ));
            }
            found.push(ParamHeader { header, path: path.clone() });
        }
        collect(property, path, found)?;
        path.pop();
    }
    Ok(())
}

/// How often a header is named anywhere in the schema.
fn count(schema: &Map<String, Value>) -> usize {
    fn within(value: &Value) -> usize {
        match value {
            Value::Object(object) => count(object),
            Value::Array(array) => array.iter().map(within).sum(),
            _ => 0,
        }
    }
    usize::from(schema.contains_key(ANNOTATION)) + schema.values().map(within).sum::<usize>()
}

// === impl ToolParams ===

impl ToolParams {
    /// Those of `tools`, each with its schema. A tool whose schema is wrong is one that has none: clients leave it out.
    pub fn of<'t>(tools: impl Iterator<Item = (&'t str, &'t Map<String, Value>)>) -> Self {
        let tools = tools.filter_map(|(name, schema)| Some((name.to_owned(), of_schema(schema).ok()?)));
        Self(tools.filter(|(_, params)| !params.is_empty()).collect())
    }

    /// Whether the headers of a call of `tool` agree with its arguments.
    ///
    /// # Errors
    /// Which one does not.
    pub fn check(&self, tool: &str, arguments: &[u8], map: &HeaderMap) -> Result<(), String> {
        self.0.get(tool).map_or(Ok(()), |params| check(params, arguments, map))
    }
}

// === impl ParamHeader ===

impl ParamHeader {
    /// What the header says of these arguments; nothing when they have no such parameter. Of two of one name the last one
    /// counts, as with everybody who reads JSON into a table. What stands beside it may be anything.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    fn text(&self, arguments: &[u8]) -> Result<Option<String>, ()> {
        let mut value = arguments;
        for name in &self.path {
            let Members(members) = match serde_json::from_slice(value) {
                Ok(members) => members,
                Err(_) if value.starts_with(b"{") => return Err(()),
                Err(_) => return Ok(None),
            };
            let Some((_, inner)) = members.iter().rfind(|(member, _)| member == name) else {
                return Ok(None);
            };
            value = inner.get().as_bytes();
        }
        Ok(match serde_json::from_slice(value).map_err(drop)? {
            Value::String(text) => Some(text),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(properties: Value) -> Result<Vec<ParamHeader>, String> {
        of_schema(json!({"type": "object", "properties": properties}).as_object().unwrap())
    }

    fn region_and_size() -> Vec<ParamHeader> {
        let size =
            json!({"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "Size"}}});
        params(json!({"region": {"type": "string", "x-mcp-header": "Region"}, "size": size, "other": true}))
            .unwrap()
    }

    #[test]
    fn parameters_are_repeated_in_headers() {
        let arguments = r#"{"region": "größe", "size": {"n": 7}, "other": [1]}"#.as_bytes();
        let written = HeaderMap::from_iter(write(&region_and_size(), arguments));
        assert_eq!(
            (&written["mcp-param-region"], &written["mcp-param-size"]),
            (&HeaderValue::from_static("=?base64?Z3LDtsOfZQ==?="), &HeaderValue::from_static("7"))
        );
        assert_eq!(check(&region_and_size(), arguments, &written), Ok(()));
        assert!(write(&region_and_size(), br#"{"region": null}"#).is_empty());
        assert!(write(&[], b"no json").is_empty());
    }

    #[test]
    fn headers_that_say_something_else_are_refused() {
        let check = |arguments: &[u8], headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            check(&region_and_size(), arguments, &map).is_ok()
        };
        assert!(check(b"{}", &[]) && check(br#"{"region":"eu"}"#, &[("mcp-param-region", "eu")]));
        assert!(!check(br#"{"region":"eu"}"#, &[]), "missing");
        assert!(!check(br#"{"region":"eu"}"#, &[("mcp-param-region", "us")]), "another");
        assert!(!check(b"{}", &[("mcp-param-region", "eu")]), "out of nothing");
        assert!(
            !check(br#"{"region":"eu"}"#, &[("mcp-param-region", "eu"), ("mcp-param-region", "us")]),
            "two"
        );
        assert!(!check(br#"{"region":"eu"}"#, &[("mcp-param-region", "=?base64?!?=")]), "unreadable");
    }

    #[test]
    fn what_stands_beside_a_parameter_hides_it_from_nobody() {
        let eu = HeaderMap::from_iter([(
            HeaderName::from_static("mcp-param-region"),
            HeaderValue::from_static("eu"),
        )]);
        let check = |arguments: &str, headers: &HeaderMap| {
            check(&region_and_size(), arguments.as_bytes(), headers).is_ok()
        };
        for odd in [
            r#"{"region":"eu","n":1e999}"#,
            r#"{"n":"\ud800","region":"eu"}"#,
            r#"{"region":"us","region":"eu"}"#,
        ] {
            assert!(check(odd, &eu) && !check(odd, &HeaderMap::new()), "{odd}");
        }
        for unreadable in [r#"{"region":"\ud800"}"#, r#"{"size":{"n":1e999}}"#, r#"{"\ud800":1}"#] {
            assert!(!check(unreadable, &HeaderMap::new()) && !check(unreadable, &eu), "{unreadable}");
        }
    }

    #[test]
    fn schemas_with_headers_where_none_can_be_are_refused() {
        for bad in [
            json!({"a": {"type": "number", "x-mcp-header": "A"}}),
            json!({"a": {"type": "string", "x-mcp-header": ""}}),
            json!({"a": {"type": "string", "x-mcp-header": "no header"}}),
            json!({"a": {"type": "string", "x-mcp-header": 5}}),
            json!({"a": {"type": "string", "x-mcp-header": "X"}, "b": {"type": "string", "x-mcp-header": "x"}}),
            json!({"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}),
        ] {
            assert!(params(bad.clone()).is_err(), "{bad}");
        }
    }
}
