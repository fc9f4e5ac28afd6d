"""What a Python client does with agents that are not a registry: finds the tool of each and calls it."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable

# Many times what a visit takes: a client that does not understand a server may wait for ever.
VISIT_SECONDS = 30


async def visit(connect: Callable, url: str, tool: str) -> str | None:
    """Why the tool whose name ends with `tool` cannot be called at `url`; None when it can."""
    try:
        async with asyncio.timeout(VISIT_SECONDS), connect(url) as client:
            [name] = [name for name in await client.tools() if name.endswith(tool)]
            failed, _, text = await client.call(name, {"whom": "you"})
            assert not failed and text.startswith("hello you from "), text
    except Exception as error:  # noqa: BLE001: any reason will do, and it is told
        return repr(error)
    return None


async def visit_all(clients: Iterable[tuple[str, Callable]], targets: list[list[str]]) -> None:
    """Prints a line for each client and target, which is a URL and the end of a tool's name: the client, both and why not."""
    for label, connect in clients:
        for url, tool in targets:
            print(json.dumps([label, url, tool, await visit(connect, url, tool)]), flush=True)


def targets() -> list[list[str]] | None:
    """What the command line asks to visit, if it does: `visit [[URL, TOOL], …]`."""
    return json.loads(sys.argv[2]) if sys.argv[1] == "visit" else None
