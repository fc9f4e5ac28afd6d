"""The Python of the registry's usage guide, run against the registry. The order matters: one agent goes through all."""

import asyncio

import aiohttp

import seed_patterns
from mesh import Mesh, free_port


async def the_guides_registration_and_heartbeat_work_as_printed(mesh: Mesh) -> None:
    seed_patterns.REGISTRY_URL = mesh.registry
    assert await seed_patterns.register_with_registry() is True
    beating = asyncio.create_task(seed_patterns.heartbeat_loop())

    async def the_agent_is_healthy() -> bool:
        async with mesh.http.get(f"{mesh.registry}/agents/{seed_patterns.AGENT_ID}") as answer:
            return (await answer.json())["status"] == "healthy"

    try:
        await mesh.eventually(the_agent_is_healthy)
    finally:
        beating.cancel()


async def the_guides_discovery_finds_what_was_registered(mesh: Mesh) -> None:
    agents = await seed_patterns.find_data_processors()
    assert [agent["id"] for agent in agents] == [seed_patterns.AGENT_ID], agents
    rows = await seed_patterns.find_specific_capability()
    assert [(row["agent_id"], row["name"]) for row in rows] == [(seed_patterns.AGENT_ID, "transform_data")], rows


async def the_guides_load_balancing_picks_a_healthy_agent(mesh: Mesh) -> None:
    agent = await seed_patterns.get_load_balanced_agent("transform_data")
    assert agent["id"] == seed_patterns.AGENT_ID and agent["endpoint"] == "http://localhost:8001/mcp", agent
    picked = {(await seed_patterns.get_load_balanced_agent("reverse_words"))["id"] for _ in range(20)}
    assert picked <= set(mesh.modes()) and len(picked) > 1, picked


async def the_guides_circuit_breaker_serves_its_cache_when_the_registry_is_away(mesh: Mesh) -> None:
    client = seed_patterns.RegistryClient(mesh.registry)
    fresh = await client.find_agents(capability_category="data_processing")
    assert fresh["count"] == 1, fresh
    client.registry_url, client.cache_ttl = f"http://127.0.0.1:{free_port()}", 0
    for _ in range(client.circuit_breaker.failure_threshold):
        try:
            await client.find_agents(capability_category="data_processing")
        except aiohttp.ClientError:
            continue
        raise AssertionError("nobody listens there, and yet there was an answer")
    assert await client.find_agents(capability_category="data_processing") == fresh


CHECKS = [
    the_guides_registration_and_heartbeat_work_as_printed,
    the_guides_discovery_finds_what_was_registered,
    the_guides_load_balancing_picks_a_healthy_agent,
    the_guides_circuit_breaker_serves_its_cache_when_the_registry_is_away,
]
