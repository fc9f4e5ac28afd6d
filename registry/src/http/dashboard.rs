//! The dashboard: one page, rendered here, that needs no script and nothing from elsewhere.

use std::fmt::Write as _;

use mesh_api::agent::Agent;
use mesh_api::page::AgentPage;

use crate::service::RegistryHealth;

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>mesh-registry</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color-scheme:light dark}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #8884;\
vertical-align:top}code{overflow-wrap:anywhere}.healthy{color:#2a8a3e}.degraded,.draining{color:#b87900}\
.expired,.offline{color:#c33}.pending{opacity:.7}</style></head><body><h1>mesh-registry</h1>";

/// Renders the agents of `page`.
pub(super) fn render(page: &AgentPage, health: &RegistryHealth) -> String {
    let mut html = String::from(HEAD);
    let (count, total, version) = (page.info.count, page.info.total, health.version);
    let status = std::iter::once(health.status.to_owned()).chain(health.reasons.iter().cloned());
    let status = escaped(&status.collect::<Vec<_>>().join("; "));
    // Writing to a string does not fail.
    let _ = write!(html, "<p>Version {version}, {status}. {count} of {total} agents are shown.</p>");
    html.push_str("<table><tr><th>Agent</th><th>Status</th><th>Endpoint</th><th>Capabilities</th></tr>");
    page.agents.iter().for_each(|agent| html.push_str(&row(agent)));
    html.push_str("</table></body></html>");
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

/// Text as it may stand in HTML, between tags and in quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_say_cannot_become_markup() {
        assert_eq!(escaped("<b a='1'>\"&"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;");
    }
}
