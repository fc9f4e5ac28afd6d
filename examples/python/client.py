"""The smallest MCP client of the mesh: its sidecar is an MCP server whose tools are what all agents can do.

    python client.py
"""

import asyncio
import os

from fastmcp import Client

MESH = os.environ.get("MESH_URL", "http://127.0.0.1:15001")


async def main() -> None:
    async with Client(f"{MESH}/mcp") as mesh:
        for tool in await mesh.list_tools():
            print(f"{tool.name}: {tool.description}")
        result = await mesh.call_tool("count_words", {"text": "the mesh finds it"})
        print(result.structured_content)


if __name__ == "__main__":
    asyncio.run(main())
