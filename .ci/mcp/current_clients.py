"""The current official Python clients against a registry, `current_clients.py URL`, or agents, `current_clients.py visit …`, or
one that hears of changes: `current_clients.py hear URL`.
"""

import asyncio
import sys
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import fastmcp
import jsonschema
import mcp
from fastmcp.exceptions import ToolError

import life
import visit


class Official:
    """The client of the `mcp` package; it asks for `server/discover` first, or shakes hands, as `mode` says."""

    def __init__(self, client: mcp.Client):
        self.client = client

    async def tools(self) -> list[str]:
        listed = (await self.client.list_tools()).tools
        for tool in listed:
            for schema in filter(None, (tool.input_schema, tool.output_schema)):
                jsonschema.Draft202012Validator.check_schema(schema)
        return [tool.name for tool in listed]

    async def call(self, tool: str, arguments: dict) -> tuple[bool, dict | None, str]:
        result = await self.client.call_tool(tool, arguments)
        return result.is_error, result.structured_content, result.content[0].text

    async def error_code(self, call) -> int | None:
        try:
            await call()
        except mcp.MCPError as error:
            return error.error.code
        return None


class FastMcp(Official):
    """FastMCP's client."""

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, tool: str, arguments: dict) -> tuple[bool, dict | None, str]:
        try:
            result = await self.client.call_tool(tool, arguments, raise_on_error=False)
        except ToolError as error:
            return True, None, str(error)
        return result.is_error, result.structured_content, result.content[0].text


MODES = {"auto": "2026-07-28", "legacy": "2025-11-25", "2026-07-28": "2026-07-28"}


def visitors():
    """Every client with a name, and how it connects."""

    @asynccontextmanager
    async def official(url: str, mode: str):
        async with mcp.Client(url, mode=mode) as client:
            yield Official(client)

    @asynccontextmanager
    async def fast(url: str):
        async with fastmcp.Client(url) as client:
            yield FastMcp(client)

    for mode in MODES:
        yield f"mcp {version('mcp')} {mode}", partial(official, mode=mode)
    yield f"fastmcp {version('fastmcp')}", fast


async def main(url: str) -> None:
    for mode, spoken in MODES.items():
        async with mcp.Client(url, mode=mode) as client:
            assert client.protocol_version == spoken, client.protocol_version
            await life.lead(Official(client), f"python-{mode}")
        print(f"ok   mcp {version('mcp')}, mode {mode}: {spoken}", flush=True)
    async with fastmcp.Client(url) as client:
        await life.lead(FastMcp(client), "fastmcp")
    print(f"ok   fastmcp {version('fastmcp')}", flush=True)


async def hear(url: str) -> None:
    """Ends when a change was heard, and tells what there is then."""
    async with mcp.Client(url) as client, client.listen(tools_list_changed=True) as changes:
        async for _ in changes:
            print(" ".join(await Official(client).tools()), flush=True)
            return


targets = visit.targets()
if sys.argv[1] == "hear":
    asyncio.run(hear(sys.argv[2]))
else:
    asyncio.run(visit.visit_all(visitors(), targets) if targets else main(sys.argv[1]))
