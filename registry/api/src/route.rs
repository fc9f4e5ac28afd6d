//! The paths of the registry's HTTP API, once for the server and its clients.

/// The card, or the dashboard.
pub const ROOT: &str = "/";
/// The API as an OpenAPI document.
pub const OPENAPI: &str = "/openapi.json";
/// The API as a page.
pub const DOCS: &str = "/docs";
/// Register (POST) and discover (GET) agents.
pub const AGENTS: &str = "/agents";
/// One agent: GET and DELETE.
pub const AGENT: &str = "/agents/{id}";
/// Discover capabilities.
pub const CAPABILITIES: &str = "/capabilities";
/// Signs of life.
pub const HEARTBEAT: &str = "/heartbeat";
/// Health of the registry.
pub const HEALTH: &str = "/health";
/// Health of one agent.
pub const AGENT_HEALTH: &str = "/health/{id}";
/// Process is alive.
pub const LIVEZ: &str = "/livez";
/// Process can serve.
pub const READYZ: &str = "/readyz";
/// Metrics as JSON, or as Prometheus text when asked for.
pub const METRICS: &str = "/metrics";
/// Metrics as Prometheus text.
pub const METRICS_PROMETHEUS: &str = "/metrics/prometheus";
/// The registry as an MCP server.
pub const MCP: &str = "/mcp";
/// The same, for clients that write addresses with a slash at the end.
pub const MCP_WITH_SLASH: &str = "/mcp/";
/// One tool of the registry as plain JSON over HTTP.
pub const TOOL: &str = "/mcp/tools/{tool}";
