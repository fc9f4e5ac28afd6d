"""What every Python client does: reads the list of tools, leads an agent through its life, and makes two mistakes."""

import json
from collections.abc import Awaitable, Callable
from typing import Protocol

TOOLS = ["discover_services", "get_agent_status", "heartbeat", "list_capabilities", "register_agent", "unregister_agent"]
INVALID_PARAMS = -32602


class Client(Protocol):
    """A connected client of any SDK."""

    async def tools(self) -> list[str]:
        """The names of all tools."""

    async def call(self, tool: str, arguments: dict) -> tuple[bool, dict | None, str]:
        """Calls a tool: whether it failed, the structured content, and the text."""

    async def error_code(self, call: Callable[[], Awaitable[object]]) -> int | None:
        """The code of the JSON-RPC error that `call` ends with; None when it ends well."""


async def lead(client: Client, agent: str, structured: bool = True) -> None:
    """Fails with an assertion when something is not as it should be. `structured`: the SDK knows structured content."""

    async def done(tool: str, arguments: dict) -> dict:
        failed, content, text = await client.call(tool, arguments)
        assert not failed, f"{tool}: {text}"
        body = json.loads(text)
        assert content == (body if structured else None), f"{tool}: {content} and {text}"
        return body

    assert sorted(await client.tools()) == TOOLS, await client.tools()
    document = {"id": agent, "endpoint": "http://127.0.0.1:9/mcp", "capabilities": [{"name": agent, "tags": ["x"]}]}
    assert (await done("register_agent", {"registration_data": document}))["agent_id"] == agent
    assert (await done("heartbeat", {"agent_id": agent}))["status"] == "success"
    assert (await done("get_agent_status", {"agent_id": agent}))["status"] == "healthy"
    found = await done("discover_services", {"capability": agent, "status": ["healthy"]})
    assert [one["id"] for one in found["agents"]] == [agent], found
    found = await done("list_capabilities", {"name": agent, "tags": ["x"]})
    assert [one["agent_id"] for one in found["capabilities"]] == [agent], found
    assert (await done("unregister_agent", {"agent_id": agent}))["status"] == "success"

    failed, _, text = await client.call("get_agent_status", {"agent_id": agent})
    assert failed and json.loads(text)["code"] == "agent_not_found", text
    failed, _, text = await client.call("register_agent", {"registration_data": {"name": "no id"}})
    assert failed and "'id' field is required" in json.loads(text)["error"], text
    code = await client.error_code(lambda: client.call("no_such_tool", {}))
    assert code == INVALID_PARAMS, code
