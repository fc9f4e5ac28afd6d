"""An agent on FastMCP, for the end-to-end checks: python current_agent.py PORT NAME [stateless]

With `stdio` in place of the port it speaks over its standard input and output."""

import sys

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError

port, name, *modes = sys.argv[1:]
agent = FastMCP(name)


@agent.tool(annotations={"readOnlyHint": True, "idempotentHint": True})
def reverse_words(text: str) -> dict[str, str]:
    """Puts the words of a text in the opposite order."""
    return {"text": " ".join(reversed(text.split())), "served_by": name}


@agent.tool(annotations={"readOnlyHint": True})
def refuse(reason: str) -> str:
    """Fails, for the reason given."""
    raise ToolError(f"refused: {reason}")


if port == "stdio":
    agent.run(transport="stdio", show_banner=False)
else:
    agent.run(transport="http", host="127.0.0.1", port=int(port), show_banner=False, stateless_http="stateless" in modes)
