"""The same agent on an older official SDK, which insists on sessions: python older_agent.py PORT NAME

With `stdio` in place of the port it speaks over its standard input and output."""

import sys

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError

port, name = sys.argv[1:]
agent = FastMCP(name, host="127.0.0.1", port=0 if port == "stdio" else int(port))


@agent.tool()
def reverse_words(text: str) -> dict[str, str]:
    """Puts the words of a text in the opposite order."""
    return {"text": " ".join(reversed(text.split())), "served_by": name}


@agent.tool()
def refuse(reason: str) -> str:
    """Fails, for the reason given."""
    raise ToolError(f"refused: {reason}")


agent.run(transport="stdio" if port == "stdio" else "streamable-http")
