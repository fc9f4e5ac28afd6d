"""An older official Python client against a registry, `older_client.py URL`, or agents, `older_client.py visit …`, or one that
hears of changes: `older_client.py hear URL`.

Runs under every 1.x line of the SDK.
"""

import asyncio
import sys
from contextlib import asynccontextmanager
from importlib.metadata import version

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import ToolListChangedNotification

import life
import visit


class Older:
    """A session that has shaken hands."""

    def __init__(self, session: ClientSession):
        self.session = session

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, tool: str, arguments: dict) -> tuple[bool, dict | None, str]:
        result = await self.session.call_tool(tool, arguments)
        # The first lines keep what they do not know under its name on the wire.
        return result.isError, getattr(result, "structuredContent", None), result.content[0].text

    async def error_code(self, call) -> int | None:
        try:
            await call()
        except McpError as error:
            return error.error.code
        return None


@asynccontextmanager
async def connect(url: str):
    """A client that has shaken hands."""
    async with streamablehttp_client(url) as (reading, writing, _), ClientSession(reading, writing) as session:
        await session.initialize()
        yield Older(session)


async def main(url: str) -> None:
    async with streamablehttp_client(url) as (reading, writing, _), ClientSession(reading, writing) as session:
        spoken = (await session.initialize()).protocolVersion
        await session.send_ping()
        await life.lead(Older(session), f"python-{version('mcp')}")
    print(f"ok   mcp {version('mcp')}: {spoken}", flush=True)


async def hear(url: str) -> None:
    """Ends when a change was heard, and tells what there is then."""
    changed = asyncio.Event()

    async def heard(message) -> None:
        if isinstance(getattr(message, "root", None), ToolListChangedNotification):
            changed.set()

    async with streamablehttp_client(url) as (reading, writing, _):
        async with ClientSession(reading, writing, message_handler=heard) as session:
            await session.initialize()
            await changed.wait()
            print(" ".join(await Older(session).tools()), flush=True)


targets = visit.targets()
visitors = [(f"mcp {version('mcp')}", connect)]
if sys.argv[1] == "hear":
    asyncio.run(hear(sys.argv[2]))
else:
    asyncio.run(visit.visit_all(visitors, targets) if targets else main(sys.argv[1]))
