//! The vocabulary of a synthetic fleet: what agents can do, and where they live.

/// What agents do. With [`THINGS`] they make the 200 capability names that many agents share.
pub const DEEDS: [&str; 20] = [
    "analyze",
    "archive",
    "classify",
    "compare",
    "convert",
    "detect",
    "enrich",
    "extract",
    "forecast",
    "generate",
    "index",
    "monitor",
    "normalize",
    "process",
    "rank",
    "schedule",
    "search",
    "summarize",
    "translate",
    "validate",
];

/// What they do it to.
pub const THINGS: [&str; 10] = [
    "contract",
    "document",
    "email",
    "image",
    "invoice",
    "log_stream",
    "payment",
    "sensor_data",
    "support_ticket",
    "transcript",
];

/// The groups of capabilities; each deed belongs to one of them.
pub const CATEGORIES: [&str; 10] = [
    "analytics",
    "content_generation",
    "data_processing",
    "document_processing",
    "forecasting",
    "integration",
    "monitoring",
    "quality",
    "scheduling",
    "search",
];

/// Words to find capabilities by.
pub const TAGS: [&str; 24] = [
    "async", "audit", "batch", "billing", "cached", "cpu", "data", "english", "etl", "finance", "gdpr",
    "gpu", "internal", "legal", "llm", "nlp", "offline", "ocr", "pii", "realtime", "stream", "tabular",
    "vision", "web",
];

/// Namespaces.
pub const NAMESPACES: [&str; 8] =
    ["billing", "catalogue", "default", "fulfilment", "insights", "legal", "platform", "support"];

/// Types of agents, none of which a registry ships thresholds for: the interval of the document decides.
pub const TYPES: [&str; 4] = ["gateway", "mcp-agent", "model-server", "tool-server"];

/// Environments, the most frequent ones several times: production has two of five.
pub const ENVIRONMENTS: [&str; 5] = ["production", "production", "staging", "testing", "development"];

/// Teams.
pub const TEAMS: [&str; 20] = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "granite", "harbor", "indigo", "juniper", "karst",
    "lagoon", "meadow", "nimbus", "orchid", "pine", "quartz", "river", "summit", "tundra",
];

/// Zones.
pub const ZONES: [&str; 6] =
    ["eu-central-1a", "eu-central-1b", "eu-west-1a", "us-east-1a", "us-east-1b", "us-west-2a"];

/// Tiers.
pub const TIERS: [&str; 3] = ["backend", "edge", "frontend"];

/// The name number `number` of those that many agents share.
pub fn shared_name(number: usize) -> String {
    let deed = DEEDS[number / THINGS.len() % DEEDS.len()];
    format!("{deed}_{}", THINGS[number % THINGS.len()])
}

/// How many names [`shared_name`] knows.
pub const SHARED_NAMES: usize = DEEDS.len() * THINGS.len();

/// The category of the name number `number`.
pub fn category(number: usize) -> &'static str {
    CATEGORIES[number / THINGS.len() % CATEGORIES.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_two_hundred_different_names() {
        let names = (0..SHARED_NAMES).map(shared_name).collect::<BTreeSet<_>>();
        assert_eq!(names.len(), 200);
    }
}
