"""A caller that listens: it asks for events and hears how far the tool is, with the standard library alone.

    python listener.py count_words text="the mesh finds it"
"""

import json
import os
import sys
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

MESH = os.environ.get("MESH_URL", "http://127.0.0.1:15001")


def listen(capability: str, arguments: dict) -> Iterator[tuple[str, dict]]:
    """Calls the capability: each `message` of its agent as it comes, and one `result` or `error` at the end."""
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    request = Request(f"{MESH}/call/{quote(capability)}", json.dumps(arguments).encode(), headers)
    with urlopen(request, timeout=30) as events:
        name, data = "", []
        for line in (line.decode().rstrip("\n") for line in events):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data.append(line.removeprefix("data: "))
            elif not line and data:
                yield name, json.loads("\n".join(data))
                data = []


if __name__ == "__main__":
    capability, *pairs = sys.argv[1:] or sys.exit(__doc__)
    try:
        for name, data in listen(capability, dict(pair.split("=", 1) for pair in pairs)):
            if name == "message" and data["method"] == "notifications/progress":
                progress = data["params"]
                print(f"{progress['progress']} of {progress.get('total')}: {progress.get('message')}", flush=True)
            elif name == "result":
                print(json.dumps(data.get("structuredContent") or data["content"]))
                sys.exit(1 if data.get("isError") else 0)
            elif name == "error":
                sys.exit(f"{data['code']}: {data['error']}")
    except HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode()}")
    sys.exit("the stream broke off before the result")
