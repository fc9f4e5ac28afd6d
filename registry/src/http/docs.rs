//! The API as a page: every operation with its parameters, bodies and a command to try it, and every schema.
//!
//! Made from the OpenAPI document and the table behind it, and rendered once. It needs no script and nothing from
//! elsewhere.

mod command;
mod schema;

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_SECURITY_POLICY, HOST};
use axum::response::{Html, IntoResponse};
use mesh_api::route;
use serde_json::Value;

use super::html::{END, HEAD, POLICY, escaped, prose};
use super::openapi::operation::{Answer, Operation, Parameter};
use super::openapi::{document, operations};

/// Stands in the rendered page where the address of the registry goes.
const ADDRESS: &str = "{address}";
/// The address when the request does not say under which it reached us: the default of the program.
const DEFAULT_ADDRESS: &str = "localhost:8000";

/// The page but for the address.
static PAGE: LazyLock<String> = LazyLock::new(render);

/// `GET /docs`
pub(super) async fn show(headers: HeaderMap) -> impl IntoResponse {
    let address = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
    let html = PAGE.replace(ADDRESS, address.unwrap_or(DEFAULT_ADDRESS));
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(html))
}

/// Whether a host can stand in a command and in HTML as it is.
fn is_plain(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

fn render() -> String {
    let mut html = format!(
        "{HEAD}<h1>mesh-registry {}</h1><p>The same for programs: <a href=\"{}\">OpenAPI 3.1</a>. \
         <a href=\"{}\">Dashboard</a>.</p><nav>",
        env!("CARGO_PKG_VERSION"),
        route::OPENAPI,
        route::ROOT,
    );
    for Operation { id, method, path, .. } in operations() {
        // Writing to a string does not fail.
        let _ = write!(html, "<a href=\"#{id}\"><code>{method} {path}</code></a>");
    }
    html.push_str("</nav>");
    operations().for_each(|operation| html.push_str(&section(operation)));
    html.push_str("<h2>Schemas</h2>");
    for (name, schema) in document()["components"]["schemas"].as_object().into_iter().flatten() {
        let _ =
            write!(html, "<section id=\"schema-{name}\"><h3>{name}</h3>{}</section>", schema::whole(schema));
    }
    html + END
}

/// One operation.
fn section(operation: &Operation) -> String {
    let Operation { id, method, path, summary, description, .. } = operation;
    let described = &document()["paths"][*path][method.as_str().to_ascii_lowercase()];
    let mut html = format!(
        "<section id=\"{id}\"><h2>{}</h2><p><code>{method} {path}</code></p><p>{}</p><pre><code>{}</code></pre>",
        prose(summary),
        prose(description),
        escaped(&command::curl(operation, ADDRESS)),
    );
    let mut parameters =
        operation.parameters().zip(described["parameters"].as_array().into_iter().flatten()).peekable();
    if parameters.peek().is_some() {
        html.push_str("<h3>Parameters</h3><table>");
        parameters.for_each(|(parameter, described)| {
            html.push_str(&parameter_row(parameter, &described["schema"]))
        });
        html.push_str("</table>");
    }
    if let Some(body) = &operation.body {
        let schema = resolved(&described["requestBody"]["content"]["application/json"]["schema"]);
        let _ = write!(html, "<h3>Body</h3><p>{} {}</p>", prose(body.description), schema::whole(schema));
    }
    html.push_str("<h3>Answers</h3><table>");
    for answer in operation.answers() {
        html.push_str(&answer_row(answer, &described["responses"][answer.status.to_string()]));
    }
    html + "</table></section>"
}

/// What a schema refers to, if it is nothing but a reference.
fn resolved(schema: &'static Value) -> &'static Value {
    let target = schema["$ref"].as_str().and_then(|path| document().pointer(path.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn parameter_row(parameter: &Parameter, schema: &Value) -> String {
    let (name, place) = (parameter.name, parameter.place.as_str());
    format!(
        "<tr><td><code>{name}</code><br>{place}</td><td>{}<br>{}</td></tr>",
        prose(parameter.description),
        schema::line(schema)
    )
}

fn answer_row(answer: &Answer, described: &Value) -> String {
    let mut html = format!("<tr><td>{}</td><td>{}", answer.status, prose(answer.description));
    for (name, about) in answer.headers {
        let _ = write!(html, "<br><code>{name}</code>: {}", prose(about));
    }
    for (kind, _) in answer.content {
        let _ =
            write!(html, "<br><code>{kind}</code>: {}", schema::line(&described["content"][*kind]["schema"]));
    }
    html + "</td></tr>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_more_than_a_host_is_not_shown() {
        assert!(is_plain("registry.mesh:8000") && is_plain("[::1]:80"));
        assert!(!is_plain("a<b") && !is_plain("a'b") && !is_plain("a;b"));
    }

    #[test]
    fn every_operation_and_every_schema_can_be_reached() {
        let page = render();
        let targets = page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
        let missing =
            targets.filter(|target| !page.contains(&format!("id=\"{target}\""))).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(operations().all(|operation| page.contains(&format!("<a href=\"#{}\">", operation.id))));
    }
}
