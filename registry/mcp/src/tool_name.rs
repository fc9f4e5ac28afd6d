//! A tool as calls name it.

use http::HeaderValue;

use crate::headers;
use crate::param_header::ParamHeader;

/// A tool as calls name it.
#[derive(Debug, Clone)]
pub struct ToolName {
    /// Its name as JSON.
    json: Vec<u8>,
    /// The same as the value of a header.
    header: HeaderValue,
    /// Parameters that stand in headers as well.
    params: Vec<ParamHeader>,
}

// === impl ToolName ===

impl ToolName {
    /// The tool of this name.
    pub fn new(name: &str) -> Self {
        // Writing a string into memory has no way to fail.
        let json = serde_json::to_vec(name).unwrap_or_default();
        Self { json, header: headers::value(name), params: Vec::new() }
    }

    /// The same, with parameters that stand in headers as well.
    #[must_use]
    pub fn repeating(self, params: Vec<ParamHeader>) -> Self {
        Self { params, ..self }
    }

    /// The name as JSON.
    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    /// The same as the value of a header.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Parameters that stand in headers as well.
    pub(crate) fn params(&self) -> &[ParamHeader] {
        &self.params
    }
}
