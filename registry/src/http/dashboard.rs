//! The dashboard: one page, rendered here, that needs no script and nothing from elsewhere.

use std::fmt::Write as _;

use mesh_api::agent::Agent;
use mesh_api::page::AgentPage;
use mesh_api::route::DOCS;

use super::html::{END, HEAD, escaped};
use crate::condition::RegistryHealth;

/// Renders the agents of `page`.
pub(super) fn render(page: &AgentPage, health: &RegistryHealth) -> String {
    let mut html = format!("{HEAD}<h1>mesh-registry</h1>");
    let (count, total, version) = (page.info.count, page.info.total, health.version);
    let status = std::iter::once(health.status.to_owned()).chain(health.reasons.iter().cloned());
    let status = escaped(&status.collect::<Vec<_>>().join("; "));
    // Writing to a string does not fail.
    let _ = write!(
        html,
        "<p>Version {version}, {status}. {count} of {total} agents are shown. <a href=\"{DOCS}\">API</a>.</p>"
    );
    html.push_str("<table><tr><th>Agent</th><th>Status</th><th>Endpoint</th><th>Capabilities</th></tr>");
    page.agents.iter().for_each(|agent| html.push_str(&row(agent)));
    html.push_str("</table>");
    html.push_str(END);
    html
}

fn row(agent: &Agent) -> String {
    let registration = &agent.registration;
    let capabilities = registration.capabilities.iter().map(|one| format!("{} {}", one.name, one.version));
    format!(
        "<tr><td>{name}<br><code>{namespace}/{id}</code></td><td class=\"{status}\">{status}</td>\
         <td><code>{endpoint}</code></td><td>{capabilities}</td></tr>",
        name = escaped(&registration.name),
        namespace = escaped(&registration.namespace),
        id = escaped(&registration.id),
        status = agent.status,
        endpoint = escaped(&registration.endpoint),
        capabilities = escaped(&capabilities.collect::<Vec<_>>().join(", ")),
    )
}
