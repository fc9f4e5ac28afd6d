"""Calls through the mesh to agents that are not ours, and what happens when they fail."""

import json

from mcp import Client

from mesh import Mesh

TEXT = {"text": "one two three"}


async def a_fastmcp_tool_is_called_through_the_mesh(mesh: Mesh) -> None:
    await answers(mesh, "session")


async def a_stateless_fastmcp_tool_is_called_through_the_mesh(mesh: Mesh) -> None:
    await answers(mesh, "stateless")


async def an_agent_on_an_older_sdk_with_sessions_is_called_through_the_mesh(mesh: Mesh) -> None:
    await answers(mesh, "older")
    # The second call uses the session of the first.
    await answers(mesh, "older")


async def agents_that_their_sidecars_run_are_called_through_the_mesh(mesh: Mesh) -> None:
    for mode in mesh.programs:
        await answers(mesh, mode)


async def the_official_client_finds_an_agent_and_gets_the_same_result_itself(mesh: Mesh) -> None:
    for mode in mesh.modes():
        query = {"name": "reverse_words", "label_selector": f"mode={mode}"}
        async with mesh.http.get(f"{mesh.sidecars['caller']}/capabilities", params=query) as answer:
            assert answer.status == 200, await answer.text()
            found = (await answer.json())["capabilities"]
        assert [row["agent_id"] for row in found] == [mode], found
        async with Client(found[0]["agent_endpoint"], read_timeout_seconds=30) as client:
            assert "reverse_words" in [tool.name for tool in (await client.list_tools()).tools]
            direct = await client.call_tool("reverse_words", TEXT)
        _, _, meshed = await mesh.call("reverse_words", TEXT, label_selector=f"mode={mode}")
        assert telling(direct.model_dump(mode="json", by_alias=True, exclude_none=True)) == telling(meshed), meshed


async def a_tool_that_fails_is_an_answer_and_not_an_error(mesh: Mesh) -> None:
    for mode in mesh.modes():
        status, _, body = await mesh.call("refuse", {"reason": "too late"}, label_selector=f"mode={mode}")
        assert status == 200 and body["isError"] is True, (status, body)
        assert "refused: too late" in body["content"][0]["text"], body


async def an_argument_that_the_tool_does_not_know_is_an_answer_of_the_tool(mesh: Mesh) -> None:
    # The older SDK drops what it does not know.
    for mode in ("session", "stateless", "stdio"):
        status, _, body = await mesh.call("reverse_words", {**TEXT, "volume": 11}, label_selector=f"mode={mode}")
        assert status == 200 and body["isError"] is True, (status, body)
        assert "volume" in body["content"][0]["text"], body


async def a_killed_fastmcp_agent_is_named_and_used_again_when_it_is_back(mesh: Mesh) -> None:
    await survives_a_kill(mesh, "session")


async def a_killed_older_agent_is_named_and_used_again_though_its_session_is_gone(mesh: Mesh) -> None:
    await survives_a_kill(mesh, "older")


async def a_capability_that_nobody_offers_is_a_404(mesh: Mesh) -> None:
    status, _, body = await mesh.call("levitate", {})
    assert status == 404 and body["code"] == "no_provider" and "levitate" in body["error"], (status, body)


async def answers(mesh: Mesh, mode: str) -> None:
    """The agent of this mode answers with its own name, as data and in words."""
    expected = {"text": "three two one", "served_by": mode}
    status, headers, body = await mesh.call("reverse_words", TEXT, label_selector=f"mode={mode}")
    assert status == 200 and not body.get("isError"), (status, body)
    assert body["structuredContent"] == expected, body
    assert json.loads(body["content"][0]["text"]) == expected, body
    assert headers.get("X-Mesh-Agent") == mode, headers


async def survives_a_kill(mesh: Mesh, mode: str) -> None:
    """Without its agent a call fails and says why; with the agent back it works, and no sidecar was restarted."""
    await answers(mesh, mode)
    mesh.children[f"agent-{mode}"].kill()
    status, _, body = await mesh.call("reverse_words", TEXT, label_selector=f"mode={mode}")
    assert status in (502, 503, 504) and body["status"] == "error", (status, body)
    assert body["code"] in ("upstream_failed", "providers_unavailable", "deadline_exceeded"), body
    assert "reverse_words" in body["error"] or mode in body["error"], body
    mesh.start_agent(mode)

    async def a_call_succeeds() -> bool:
        return (await mesh.call("reverse_words", TEXT, label_selector=f"mode={mode}"))[0] == 200

    await mesh.eventually(a_call_succeeds)
    await answers(mesh, mode)


def telling(result: dict) -> dict:
    """The parts of a tool's result that its tool decided on."""
    return {key: result.get(key) for key in ("content", "structuredContent")} | {"isError": bool(result.get("isError"))}


CHECKS = [
    a_fastmcp_tool_is_called_through_the_mesh,
    a_stateless_fastmcp_tool_is_called_through_the_mesh,
    an_agent_on_an_older_sdk_with_sessions_is_called_through_the_mesh,
    agents_that_their_sidecars_run_are_called_through_the_mesh,
    the_official_client_finds_an_agent_and_gets_the_same_result_itself,
    a_tool_that_fails_is_an_answer_and_not_an_error,
    an_argument_that_the_tool_does_not_know_is_an_answer_of_the_tool,
    a_killed_fastmcp_agent_is_named_and_used_again_when_it_is_back,
    a_killed_older_agent_is_named_and_used_again_though_its_session_is_gone,
    a_capability_that_nobody_offers_is_a_404,
]
