"""The smallest agent: a FastMCP server with one tool. It has never heard of the mesh.

    python agent.py        # PORT and HOST in the environment
"""

import os

from fastmcp import FastMCP

agent = FastMCP("words")


# The hints let a sidecar try another replica when a call fails half way.
@agent.tool(annotations={"readOnlyHint": True, "idempotentHint": True})
def reverse_words(text: str) -> dict[str, str]:
    """Puts the words of a text in the opposite order."""
    return {"text": " ".join(reversed(text.split()))}


if __name__ == "__main__":
    agent.run(transport="http", host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8001")))
