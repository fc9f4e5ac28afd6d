"""A mesh of real processes on loopback: one registry, agents, and a sidecar beside each of them.

Everything lives in a temporary directory and listens on free ports. Leaving the mesh ends what it started.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp

from child import START_SECONDS, Child

HERE = Path(__file__).resolve().parent
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30)
POLL_SECONDS = 0.2
CAPABILITIES = ("reverse_words", "refuse")


class Mesh:
    """The processes, and where they answer."""

    def __init__(self, bin_dir: Path, older_python: Path):
        # Absolute, because children run elsewhere; not resolved, because an environment's python is a symbolic link.
        self.bin_dir = bin_dir.absolute()
        self.directory = Path(tempfile.mkdtemp(prefix="mesh-e2e-"))
        self.pythons = {"session": sys.executable, "stateless": sys.executable, "older": str(older_python.absolute())}
        # Run by their sidecars.
        self.programs = {"stdio": (sys.executable, "current_agent.py"), "stdio-older": (self.pythons["older"], "older_agent.py")}
        self.children: dict[str, Child] = {}
        self.ports: dict[str, int] = {}
        self.registry = ""
        self.sidecars: dict[str, str] = {}

    async def __aenter__(self) -> "Mesh":
        self.http = aiohttp.ClientSession(timeout=REQUEST_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        # Last come, first gone: sidecars still reach the registry to say goodbye.
        for child in reversed(self.children.values()):
            child.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def start(self) -> None:
        """Starts everything and waits until the registry calls every agent healthy."""
        registry = self.spawn("registry", [self.binary("mesh-registry"), "--listen", "127.0.0.1:0", "--store", "memory:"])
        for mode in self.pythons:
            self.ports[mode] = free_port()
            self.start_agent(mode)
        self.registry = base_url(registry.logged("mesh-registry is listening", "address"))
        capabilities = [{"name": name, "version": "1.0.0"} for name in CAPABILITIES]
        for mode, port in self.ports.items():
            self.start_sidecar(mode, at(port), capabilities=capabilities, labels={"mode": mode})
        for mode, (python, script) in self.programs.items():
            stdio = {"command": python, "args": [str(HERE / script), "stdio", mode]}
            manifest = {"capabilities": capabilities, "labels": {"mode": mode}}
            self.start_sidecar(mode, {"endpoint": {"stdio": stdio}}, "--inbound", "127.0.0.1:0", **manifest)
        self.start_sidecar("caller", at(free_port()), dependencies=list(CAPABILITIES))
        await self.eventually(self.all_healthy)

    def modes(self) -> list[str]:
        """Every agent."""
        return [*self.ports, *self.programs]

    def start_agent(self, mode: str) -> None:
        """Starts, or starts again, the agent of this mode on its port."""
        script = "older_agent.py" if mode == "older" else "current_agent.py"
        extra = ["stateless"] if mode == "stateless" else []
        self.spawn(f"agent-{mode}", [self.pythons[mode], str(HERE / script), str(self.ports[mode]), mode, *extra])

    def start_sidecar(self, name: str, agent: dict, *settings: str, **manifest: object) -> None:
        """Starts the sidecar of an agent that is `agent` in its manifest."""
        file = self.directory / f"{name}.yaml"
        # JSON is YAML, so the manifest needs no YAML library.
        file.write_text(json.dumps({"id": name, **agent, "health_interval": 1, **manifest}))
        command = [self.binary("mesh-sidecar"), "--manifest", str(file), "--registry", self.registry, *settings]
        child = self.spawn(f"sidecar-{name}", [*command, "--listen", "127.0.0.1:0"])
        self.sidecars[name] = base_url(child.logged("mesh-sidecar is listening", "address"))

    def spawn(self, name: str, command: list[str]) -> Child:
        """Starts a process without any settings of the mesh from the caller's environment."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MESH_", "RUST_LOG"))}
        self.children[name] = Child(name, command, self.directory, environment)
        return self.children[name]

    def binary(self, name: str) -> str:
        """Path of one of the two binaries."""
        return str(self.bin_dir / name)

    async def all_healthy(self) -> bool:
        """Whether the registry lists every agent as healthy."""
        async with self.http.get(f"{self.registry}/agents", params={"status": "healthy"}) as answer:
            listed = {agent["id"] for agent in (await answer.json())["agents"]}
        return listed.issuperset(self.modes())

    async def call(self, capability: str, arguments: dict, **query: str) -> tuple[int, Mapping, dict]:
        """Calls through the caller's sidecar: status, headers and JSON body."""
        url = f"{self.sidecars['caller']}/call/{capability}"
        async with self.http.post(url, json=arguments, params=query) as answer:
            return answer.status, answer.headers, await answer.json(content_type=None)

    async def eventually(self, condition: Callable[[], Awaitable[bool]], seconds: float = START_SECONDS) -> None:
        """Waits until the condition holds."""
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{condition.__name__} did not come true within {seconds} s")
            await asyncio.sleep(POLL_SECONDS)


def at(port: int) -> dict:
    """An agent on `port`, in a manifest."""
    return {"endpoint": f"http://127.0.0.1:{port}/mcp", "health": {"interval": "500ms"}}


def free_port() -> int:
    """A port that nobody listens on. Agents get it as an argument, because they keep it over a restart."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def base_url(address: str) -> str:
    """The address as a URL without a slash at the end."""
    return (address if "://" in address else f"http://{address}").rstrip("/")
