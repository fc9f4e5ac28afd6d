"""Agents that are not ours under `capabilities: auto`: what they can do is asked of them and stands in the registry."""

import sys

from mcp import Client

from mesh import HERE, Mesh, at, free_port

TEXT = {"text": "one two three"}


async def the_tools_of_a_fastmcp_agent_are_registered_as_it_lists_them(mesh: Mesh) -> None:
    await is_true(mesh, "auto-session", sys.executable, "current_agent.py")


async def the_tools_of_a_stateless_fastmcp_agent_are_registered_as_it_lists_them(mesh: Mesh) -> None:
    await is_true(mesh, "auto-stateless", sys.executable, "current_agent.py", "stateless")


async def the_tools_of_an_agent_on_an_older_sdk_are_registered_as_it_lists_them(mesh: Mesh) -> None:
    await is_true(mesh, "auto-older", mesh.pythons["older"], "older_agent.py")


async def is_true(mesh: Mesh, name: str, python: str, script: str, *extra: str) -> None:
    """The registry says of this agent what the official client hears from it, and the tools can be called."""
    port = free_port()
    mesh.spawn(f"agent-{name}", [python, str(HERE / script), str(port), name, *extra])
    mesh.start_sidecar(name, at(port), capabilities="auto", labels={"mode": name})
    registered = {}

    async def it_is_registered() -> bool:
        async with mesh.http.get(f"{mesh.registry}/agents/{name}") as answer:
            agent = await answer.json()
        registered.update({one["name"]: one for one in agent.get("capabilities", [])})
        return agent.get("status") == "healthy"

    await mesh.eventually(it_is_registered)
    async with Client(f"http://127.0.0.1:{port}/mcp", read_timeout_seconds=30) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(registered) == set(listed) == {"reverse_words", "refuse"}, registered
    for tool_name, tool in listed.items():
        said = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
        kept = registered[tool_name]
        assert kept["description"] == said["description"], kept
        assert kept["input_schema"] == said["inputSchema"], kept
        assert kept.get("output_schema") == said.get("outputSchema"), kept
        hints = {key: value for key, value in said.get("annotations", {}).items() if key.endswith("Hint")}
        assert {key: kept.get("annotations", {}).get(key) for key in hints} == hints, kept
    status, _, body = await mesh.call("reverse_words", TEXT, label_selector=f"mode={name}")
    assert status == 200 and body["structuredContent"]["served_by"] == name, (status, body)
    # Other checks count the agents.
    mesh.children[f"sidecar-{name}"].stop()
    mesh.children[f"agent-{name}"].stop()


CHECKS = [
    the_tools_of_a_fastmcp_agent_are_registered_as_it_lists_them,
    the_tools_of_a_stateless_fastmcp_agent_are_registered_as_it_lists_them,
    the_tools_of_an_agent_on_an_older_sdk_are_registered_as_it_lists_them,
]
