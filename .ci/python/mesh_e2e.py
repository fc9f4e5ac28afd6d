"""The mesh against software that is not ours: FastMCP, the official Python SDK in two generations, plain aiohttp.

    python mesh_e2e.py --bin-dir target/debug --older-python path/to/venv/bin/python

One line a check, `ok` or `FAIL`; status 1 when any failed. `run`, beside this file, prepares the environments.
"""

import argparse
import asyncio
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import auto_checks
import call_checks
import file_checks
import guide_checks
from mesh import Mesh

# A check restarts an agent at most once, which takes seconds; this is for hangs.
CHECK_SECONDS = 150


async def passes(check: Callable[[Mesh], Awaitable[None]], mesh: Mesh) -> bool:
    """Runs one check and prints its line."""
    name = check.__name__.replace("_", " ")
    try:
        await asyncio.wait_for(check(mesh), CHECK_SECONDS)
    except Exception:
        print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok   {name}", flush=True)
    return True


async def run(bin_dir: Path, older_python: Path) -> int:
    """Runs every check in one mesh; the number of failed ones."""
    # Cancelled, it still ends the processes that it started.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with Mesh(bin_dir, older_python) as mesh:
        try:
            await mesh.start()
            checks = file_checks.CHECKS + call_checks.CHECKS + auto_checks.CHECKS + guide_checks.CHECKS
            results = [await passes(check, mesh) for check in checks]
        except Exception:
            print(f"FAIL the mesh starts\n{traceback.format_exc()}", flush=True)
            results = [False]
        if not all(results):
            print("\n".join(child.tail() for child in mesh.children.values()))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return results.count(False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, default=Path("target/debug"), help="where the two binaries are")
    parser.add_argument("--older-python", type=Path, required=True, help="interpreter with requirements-older.txt installed")
    arguments = parser.parse_args()
    sys.exit(1 if asyncio.run(run(arguments.bin_dir, arguments.older_python)) else 0)
