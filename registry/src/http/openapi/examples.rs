//! The examples: those of the guide for agents.

use serde_json::{Value, json};

/// The guide's agent.
pub(super) fn registration() -> Value {
    json!({
        "id": "my-agent-001",
        "name": "My Service Agent",
        "namespace": "production",
        "agent_type": "service_agent",
        "endpoint": "http://localhost:8001/mcp",
        "capabilities": [{
            "name": "process_data",
            "description": "Process incoming data",
            "category": "data_processing",
            "version": "1.2.0",
            "stability": "stable",
            "tags": ["data", "processing", "async"],
        }],
        "labels": {"env": "production", "team": "data", "zone": "us-west-2a"},
        "security_context": "standard",
        "health_interval": 30.0,
    })
}

/// The least that an agent must say.
pub(super) fn smallest() -> Value {
    json!({"id": "my-agent-001", "endpoint": "http://localhost:8001/mcp"})
}

/// The guide's agent as the argument of the tool.
pub(super) fn registration_data() -> Value {
    json!({"registration_data": registration()})
}

/// A heartbeat that says how the agent is.
pub(super) fn heartbeat() -> Value {
    json!({
        "agent_id": "my-agent-001", "status": "healthy",
        "metadata": {"load": "0.65", "memory_usage": "78%"},
    })
}

/// Two heartbeats in one request.
pub(super) fn batch() -> Value {
    json!([heartbeat(), {"agent_id": "my-agent-002", "status": "draining"}])
}

/// The argument of the tools that take an id.
pub(super) fn agent_id() -> Value {
    json!({"agent_id": "my-agent-001"})
}

/// Filters of agents.
pub(super) fn agent_filters() -> Value {
    json!({"namespace": "production", "capability_category": "data_processing", "status": "healthy"})
}

/// Filters of capabilities.
pub(super) fn capability_filters() -> Value {
    json!({"tags": ["data"], "stability": "stable", "fuzzy_match": true})
}

/// What an MCP client asks first.
pub(super) fn tools_list() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
}
