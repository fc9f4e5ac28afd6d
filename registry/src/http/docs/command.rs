//! A command line that tries an operation with its examples.

use axum::http::Method;

use super::super::openapi::operation::{Operation, Place};

/// The command for a registry at `address`.
pub(super) fn curl(operation: &Operation, address: &str) -> String {
    let mut path = operation.path.to_owned();
    let mut query = Vec::new();
    for parameter in operation.parameters().filter(|parameter| !parameter.example.is_empty()) {
        match parameter.place {
            Place::Path => path = path.replace(&format!("{{{}}}", parameter.name), parameter.example),
            Place::Header => {}
            Place::Query => query.push(format!("{}={}", parameter.name, parameter.example)),
        }
    }
    let question = if query.is_empty() { "" } else { "?" };
    let url = quoted(&format!("http://{address}{path}{question}{}", query.join("&")));
    let method = match operation.method {
        Method::GET | Method::POST => String::new(),
        ref other => format!(" -X {other}"),
    };
    let example = operation.body.as_ref().and_then(|body| body.examples.first());
    match example {
        Some((_, example)) => {
            let body = quoted(&format!("{:#}", example()));
            format!("curl{method} {url} -H 'Content-Type: application/json' -d {body}")
        }
        None => format!("curl{method} {url}"),
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::super::super::openapi::operations;
    use super::*;

    fn command(id: &str) -> String {
        curl(operations().find(|operation| operation.id == id).unwrap(), "h:1")
    }

    #[test]
    fn a_command_carries_the_examples() {
        assert_eq!(command("unregisterAgent"), "curl -X DELETE 'http://h:1/agents/my-agent-001'");
        assert!(command("findCapabilities").contains("/capabilities?stability=stable&tags=data"));
        assert!(command("sendHeartbeat").contains("-d '{\n  \"agent_id\": \"my-agent-001\""));
    }

    #[test]
    fn a_quote_in_an_example_does_not_end_it() {
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
