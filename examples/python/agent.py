"""The smallest agent: a FastMCP server with one tool. It has never heard of the mesh.

    python agent.py [PORT]        # or PORT and HOST in the environment
"""

import os
import sys

from fastmcp import FastMCP

agent = FastMCP("words")


# The hints let a sidecar try another replica when a call fails half way.
@agent.tool(annotations={"readOnlyHint": True, "idempotentHint": True})
def reverse_words(text: str) -> dict[str, str]:
    """Puts the words of a text in the opposite order."""
    return {"text": " ".join(reversed(text.split()))}


if __name__ == "__main__":
    port = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PORT", "8001"))
    agent.run(transport="http", host=os.environ.get("HOST", "127.0.0.1"), port=port)
