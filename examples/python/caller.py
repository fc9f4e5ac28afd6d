"""The smallest caller: one POST to the sidecar's port on localhost, with the standard library alone.

    python caller.py count_words text="the mesh finds it"
"""

import json
import os
import sys
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

MESH = os.environ.get("MESH_URL", "http://127.0.0.1:15001")


def call(capability: str, arguments: dict) -> dict:
    """Calls whoever in the mesh offers the capability and returns the result of its tool."""
    body = json.dumps(arguments).encode()
    request = Request(f"{MESH}/call/{quote(capability)}", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    capability, *pairs = sys.argv[1:] or sys.exit(__doc__)
    try:
        result = call(capability, dict(pair.split("=", 1) for pair in pairs))
    except HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode()}")
    # What went wrong in the tool itself stands in the content.
    print(json.dumps(result.get("structuredContent") or result["content"]))
    sys.exit(1 if result.get("isError") else 0)
