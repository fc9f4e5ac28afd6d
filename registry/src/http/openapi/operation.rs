//! What is said about an operation: the words of the table, and how each becomes OpenAPI.

use axum::http::Method;
use mesh_api::schema::Components;
use serde_json::{Map, Value, json};

/// Puts a schema together; what has a name goes into the components.
pub(in crate::http) type Schema = fn(&mut Components) -> Value;
/// An example, built where it is shown.
pub(in crate::http) type Example = fn() -> Value;

/// One method of one path.
pub(in crate::http) struct Operation {
    pub(in crate::http) method: Method,
    pub(in crate::http) path: &'static str,
    /// Its name in generated clients.
    pub(in crate::http) id: &'static str,
    pub(in crate::http) group: &'static str,
    pub(in crate::http) summary: &'static str,
    pub(in crate::http) description: &'static str,
    pub(in crate::http) parameters: &'static [&'static [Parameter]],
    pub(in crate::http) body: Option<Body>,
    pub(in crate::http) answers: &'static [&'static [Answer]],
}

/// A parameter of the path, the query or the header.
pub(in crate::http) struct Parameter {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) place: Place,
    pub(in crate::http) description: &'static str,
    pub(in crate::http) schema: Schema,
    /// As it is written in a request; none when empty.
    pub(in crate::http) example: &'static str,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Place {
    Path,
    Query,
}

/// A JSON body.
pub(in crate::http) struct Body {
    pub(in crate::http) description: &'static str,
    pub(in crate::http) schema: Schema,
    /// Whether nothing at all will not do.
    pub(in crate::http) is_required: bool,
    /// Examples by name, the first of them that of the docs page.
    pub(in crate::http) examples: &'static [(&'static str, Example)],
}

/// An answer: what its status means, and what it carries.
pub(in crate::http) struct Answer {
    pub(in crate::http) status: u16,
    pub(in crate::http) description: &'static str,
    /// A schema for each media type; none when the answer has no body.
    pub(in crate::http) content: &'static [(&'static str, Schema)],
    /// Headers by name, with what they say.
    pub(in crate::http) headers: &'static [(&'static str, &'static str)],
    /// Operations that take their parameter from this answer.
    pub(in crate::http) links: &'static [Link],
}

/// The operation `to` takes `parameter` from `value`, a runtime expression of OpenAPI.
pub(in crate::http) struct Link {
    pub(in crate::http) to: &'static str,
    pub(in crate::http) parameter: &'static str,
    pub(in crate::http) value: &'static str,
}

// === impl Operation ===

impl Operation {
    /// All its parameters.
    pub(in crate::http) fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().copied().flatten()
    }

    /// All its answers.
    pub(in crate::http) fn answers(&self) -> impl Iterator<Item = &'static Answer> {
        self.answers.iter().copied().flatten()
    }

    /// The operation as OpenAPI.
    pub(super) fn describe(&self, components: &mut Components) -> Value {
        let mut operation = json!({
            "operationId": self.id, "tags": [self.group], "summary": self.summary, "description": self.description,
        });
        let parameters =
            self.parameters().map(|parameter| parameter.describe(components)).collect::<Vec<_>>();
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        if let Some(body) = &self.body {
            operation["requestBody"] = body.describe(components);
        }
        let answers = self.answers().map(|answer| (answer.status.to_string(), answer.describe(components)));
        operation["responses"] = answers.collect::<Map<_, _>>().into();
        operation
    }
}

// === impl Parameter ===

impl Parameter {
    fn describe(&self, components: &mut Components) -> Value {
        let schema = (self.schema)(components);
        let mut parameter = json!({
            "name": self.name, "in": self.place.as_str(), "required": self.place == Place::Path,
            "description": self.description,
        });
        let is_list = schema["type"] == "array";
        if is_list {
            // One text with commas, as the parser splits it.
            parameter["style"] = json!("form");
            parameter["explode"] = json!(false);
        }
        if !self.example.is_empty() {
            parameter["example"] = self.typed_example(&schema);
        }
        parameter["schema"] = schema;
        parameter
    }

    /// The example in the type of the parameter.
    fn typed_example(&self, schema: &Value) -> Value {
        match schema["type"].as_str() {
            Some("array") => self.example.split(',').map(Value::from).collect(),
            Some("boolean" | "integer") => serde_json::from_str(self.example).unwrap_or_default(),
            _ => Value::from(self.example),
        }
    }
}

impl Place {
    /// Its name in OpenAPI.
    pub(in crate::http) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
        }
    }
}

// === impl Body ===

impl Body {
    fn describe(&self, components: &mut Components) -> Value {
        let examples =
            self.examples.iter().map(|(name, example)| ((*name).to_owned(), json!({"value": example()})));
        let media = json!({"schema": (self.schema)(components), "examples": examples.collect::<Map<_, _>>()});
        json!({"description": self.description, "required": self.is_required, "content": {"application/json": media}})
    }
}

// === impl Answer ===

impl Answer {
    /// An answer without a body.
    pub(super) const fn bare(status: u16, description: &'static str) -> Self {
        Self { status, description, content: &[], headers: &[], links: &[] }
    }

    fn describe(&self, components: &mut Components) -> Value {
        let mut answer = json!({"description": self.description});
        if !self.headers.is_empty() {
            let header = |about: &str| json!({"description": about, "schema": {"type": "string"}});
            let headers = self.headers.iter().map(|(name, about)| ((*name).to_owned(), header(about)));
            answer["headers"] = headers.collect::<Map<_, _>>().into();
        }
        if !self.content.is_empty() {
            let content = self.content.iter();
            let content =
                content.map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema(components)})));
            answer["content"] = content.collect::<Map<_, _>>().into();
        }
        if !self.links.is_empty() {
            let links = self.links.iter().map(|link| (link.to.to_owned(), link.describe()));
            answer["links"] = links.collect::<Map<_, _>>().into();
        }
        answer
    }
}

impl Link {
    fn describe(&self) -> Value {
        json!({"operationId": self.to, "parameters": {(self.parameter): self.value}})
    }
}
