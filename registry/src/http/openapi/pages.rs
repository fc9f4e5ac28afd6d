//! Operations for people and for those who watch: the card, metrics, this very document.

use axum::http::Method;
use mesh_api::route;
use mesh_api::schema::Components;
use serde_json::{Value, json};

use super::super::card::Card;
use super::answers::{JSON, ok};
use super::operation::Operation;
use crate::metrics::MetricsReport;

const GROUP: &str = "The registry itself";
const HTML: &str = "text/html";
const PLAIN: &str = "text/plain";
const OPENMETRICS: &str = "application/openmetrics-text";

pub(super) static OPERATIONS: [Operation; 5] = [
    Operation {
        method: Method::GET,
        path: route::ROOT,
        id: "getCard",
        group: GROUP,
        summary: "The service's card",
        description: "A dashboard of all agents for those who accept HTML.",
        parameters: &[],
        body: None,
        answers: &[&[ok("The card.", &[(JSON, Components::output::<Card>), (HTML, text)])]],
    },
    Operation {
        method: Method::GET,
        path: route::METRICS,
        id: "getMetrics",
        group: GROUP,
        summary: "Metrics",
        description: "JSON, or text for those who ask for it and name no JSON, as Prometheus does.",
        parameters: &[],
        body: None,
        answers: &[&[ok(
            "The metrics.",
            &[(JSON, Components::output::<MetricsReport>), (PLAIN, text), (OPENMETRICS, text)],
        )]],
    },
    Operation {
        method: Method::GET,
        path: route::METRICS_PROMETHEUS,
        id: "getMetricsText",
        group: GROUP,
        summary: "Metrics as text",
        description: "Always text, for whoever cannot say what it accepts.",
        parameters: &[],
        body: None,
        answers: &[&[ok("The metrics.", &[(PLAIN, text), (OPENMETRICS, text)])]],
    },
    Operation {
        method: Method::GET,
        path: route::OPENAPI,
        id: "getOpenApi",
        group: GROUP,
        summary: "This API as an OpenAPI document",
        description: "OpenAPI 3.1, made from the code that answers.",
        parameters: &[],
        body: None,
        answers: &[&[ok("The document.", &[(JSON, any_object)])]],
    },
    Operation {
        method: Method::GET,
        path: route::DOCS,
        id: "getDocs",
        group: GROUP,
        summary: "This API as a page",
        description: "For people. The page needs nothing from elsewhere.",
        parameters: &[],
        body: None,
        answers: &[&[ok("The page.", &[(HTML, text)])]],
    },
];

fn text(_: &mut Components) -> Value {
    json!({"type": "string"})
}

fn any_object(_: &mut Components) -> Value {
    json!({"type": "object"})
}
