//! What is said about an operation: the words of the table, and how each becomes OpenAPI.

use axum::http::Method;
use mesh_api::schema::Components;
use serde_json::{Map, Value, json};

/// Puts a schema together; what has a name goes into the components.
pub(crate) type Schema = fn(&mut Components) -> Value;
/// An example, built where it is shown.
pub(crate) type Example = fn() -> Value;

/// One method of one path.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Its name in generated clients.
    pub(crate) id: &'static str,
    pub(crate) group: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) parameters: &'static [&'static [Parameter]],
    pub(crate) body: Option<Body>,
    pub(crate) answers: &'static [&'static [Answer]],
}

/// A parameter of the path, the query or the header.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) description: &'static str,
    pub(crate) schema: Schema,
    /// As it is written in a request; none when empty.
    pub(crate) example: &'static str,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// A JSON body.
pub(crate) struct Body {
    pub(crate) description: &'static str,
    pub(crate) schema: Schema,
    /// Whether nothing at all will not do.
    pub(crate) is_required: bool,
    /// Examples by name, the first of them that of the docs page.
    pub(crate) examples: &'static [(&'static str, Example)],
}

/// An answer: what its status means, and what it carries.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    /// A schema for each media type; none when the answer has no body.
    pub(crate) content: &'static [(&'static str, Schema)],
    /// Headers by name, with what they say.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// Operations that take their parameter from this answer.
    pub(crate) links: &'static [Link],
}

/// The operation `to` takes `parameter` from `value`, a runtime expression of OpenAPI.
pub(crate) struct Link {
    pub(crate) to: &'static str,
    pub(crate) parameter: &'static str,
    pub(crate) value: &'static str,
}

// === impl Operation ===

impl Operation {
    /// All its parameters.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters.iter().copied().flatten()
    }

    /// All its answers.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &'static Answer> {
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
        if self.place == Place::Query && schema["items"] != json!({"type": "string"}) {
            // A parameter without a value counts as absent; a list of any texts may be one empty text anyway.
            parameter["allowEmptyValue"] = json!(true);
        }
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
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
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
