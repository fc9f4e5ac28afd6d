"""The sidecar as a way to MCP servers that are not ours, seen by software that is not ours either.

The conformance suite of the MCP project is run against the server that the project has for it, directly and through the
sidecar, and through that and another one beside the server: check by check the outcome must be the same. It is run against the same server over standard input and output, and
against its tools among those of the mesh, where what is missing is known and explained. Then clients of every line visit
agents of every line, reached by themselves and behind the inbound port of a sidecar of their own: whoever can talk to an agent
directly must be able to through the sidecar, everybody must find everybody's tool among those of the mesh, and every agent
can be called. Clients of both eras hear of a new tool.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "python"))

from child import START_SECONDS, Child  # noqa: E402: it lies beside the other checks

REVISIONS = ("2026-07-28", "2025-11-25")
# Checks that the suite's own server passes, in the releases that are installed.
FLOORS = {"2026-07-28": 169, "2025-11-25": 84}
# A run of the suite takes 5 s, the visits of one client less; the limits are for hangs.
SUITE_SECONDS = 90
VISITS_SECONDS = 120
HTTP_SECONDS = 30
# An agent that is back is seen within seconds.
RETURN_SECONDS = 20
# A change is heard within a second or two.
HEARING_SECONDS = 40
POLL_SECONDS = 0.1
# The ways to an agent, and whether one translates: what passes as it is needs a client and an agent that understand each
# other, and where the mesh offers the tools it speaks to each in a revision that it knows.
DIRECTLY = "{url}"
PASSED = "{sidecar}/agents/{id}/mcp"
WAYS = {
    DIRECTLY: False,
    PASSED: False,
    "{behind}/agents/{id}/mcp": False,
    "{sidecar}/mcp": True,
    "{behind}/mcp": True,
}
# The only client that insists on the current revision.
CURRENT_ONLY = "2026-07-28"


@dataclass
class Server:
    """An agent, or the suite's server, on a port of its own."""

    name: str
    command: list[str]
    path: str = ""
    # Its module, if it can be run over standard input and output.
    module: str = ""
    # Whether it knows nothing of the current revision.
    is_older: bool = False
    # Where it answers.
    at: str = "/mcp"
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.at}"

    @property
    def tool(self) -> str:
        return f"greet_{self.name}"


class Mesh:
    """A registry, a sidecar, and servers that are registered by hand or by sidecars of their own."""

    def __init__(self, stack: ExitStack, directory: Path, bin_dir: Path):
        self.stack, self.directory, self.bin_dir = stack, directory, bin_dir
        self.running: dict[str, Child] = {}
        self.registry = self.daemon("mesh-registry", "--store", "memory:")
        self.sidecar = self.daemon("mesh-sidecar", "--registry", self.registry).replace("127.0.0.1", "localhost")

    def daemon(self, name: str, *arguments: str) -> str:
        """Starts one of our binaries, and returns its URL."""
        child = self.spawn(name, [str(self.bin_dir / name), "--listen", "127.0.0.1:0", *arguments])
        return f"http://{child.logged(f'{name} is listening', 'address')}"

    def spawn(self, name: str, command: list[str], **variables: str) -> Child:
        """Starts a process that ends with us."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MESH_", "RUST_LOG"))}
        child = Child(name, command, self.directory, environment | variables)
        self.stack.callback(child.stop)
        return child

    def start(self, server: Server) -> Child:
        """Starts a server on the port that it has."""
        command = [part.format(port=server.port) for part in server.command]
        self.running[server.name] = self.spawn(server.name, command, **({"PYTHONPATH": server.path} if server.path else {}))
        return self.running[server.name]

    def add(self, servers: list[Server]) -> None:
        """Starts servers and registers each, once all answer."""
        children = []
        for server in servers:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                server.port = probe.getsockname()[1]
            children.append(self.start(server))
        for server, child in zip(servers, children, strict=True):
            wait_for(server, child)
            # They send no heartbeats: one is enough for as long as this takes.
            silence = {"health_interval": 600, "timeout_threshold": 3600, "eviction_threshold": 7200}
            capabilities = [{"name": server.tool, "version": "1.0.0", "description": "Greets."}]
            registration = {"id": server.name, "endpoint": server.url, "capabilities": capabilities, **silence}
            post(f"{self.registry}/agents", registration)
            post(f"{self.registry}/heartbeat", {"agent_id": server.name})

    def stand_before(self, servers: list[Server]) -> None:
        """Puts a sidecar with an inbound port before each server that another mesh has started."""
        children = []
        for server in servers:
            manifest = self.directory / f"{server.name}.yaml"
            manifest.write_text(json.dumps({"id": server.name, "endpoint": server.url, "capabilities": [{"name": server.tool}]}))
            ours = ["--manifest", str(manifest), "--registry", self.registry, "--inbound", "127.0.0.1:0"]
            command = [str(self.bin_dir / "mesh-sidecar"), "--listen", "127.0.0.1:0", *ours]
            children.append(self.spawn(f"before-{server.name}", command))
        for child in children:
            child.logged("our agent is registered", "endpoint")

    def offer_tools(self, server: Server) -> None:
        """Registers all tools of a server that has been started, as they are."""
        client = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
        meta = {f"io.modelcontextprotocol/{key}": value for key, value in client.items()}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
        headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list", "Accept": "application/json, text/event-stream"}
        tools = post(server.url, message, **headers)["result"]["tools"]
        keys = {"inputSchema": "input_schema", "outputSchema": "output_schema", "description": "description", "name": "name"}
        capabilities = [{keys[key]: value for key, value in tool.items() if key in keys} for tool in tools]
        post(f"{self.registry}/agents", {"id": f"{server.name}-tools", "endpoint": server.url, "capabilities": capabilities})
        post(f"{self.registry}/heartbeat", {"agent_id": f"{server.name}-tools"})


def wait_for(server: Server, child: Child) -> None:
    """Waits until somebody listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        if child.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.name} does not listen\n{child.tail()}")
        time.sleep(POLL_SECONDS)


def post(url: str, document: dict, **headers: str) -> dict:
    """POST of JSON; an answer in the form of events has one with the message."""
    headers = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=HTTP_SECONDS) as answer:
        return json.loads(re.sub(r"(?s)^.*^data: ?({.*?})$.*$", r"\1", answer.read().decode(), flags=re.MULTILINE))


# === The conformance suite ===


def checks(suite: list[str], url: str, revision: str, directory: Path) -> dict[str, list[str]]:
    """What became of every check of the suite at `url`: most are made once, some several times."""
    command = [*suite, "server", "--url", url, "--requirements", revision, "--output-dir", str(directory)]
    # Its status tells nothing here: it fails with what the server itself does not do.
    done = subprocess.run(command, capture_output=True, text=True, timeout=SUITE_SECONDS, check=False)
    outcomes = defaultdict(list)
    for file in sorted(directory.glob("*/checks.json")):
        scenario = re.sub(r"^server-|-[\dT-]+Z$", "", file.parent.name)
        for check in json.loads(file.read_text()):
            outcomes[f"{scenario}:{check['id']}"].append(check["status"])
    if not outcomes:
        raise RuntimeError(f"the suite said nothing of {url}\n{done.stdout}{done.stderr}")
    return outcomes


def counts(outcomes: dict[str, list[str]]) -> str:
    """How many checks had which outcome."""
    single = [status for statuses in outcomes.values() for status in statuses]
    return ", ".join(f"{single.count(status)} {status.lower()}" for status in sorted(set(single), reverse=True))


def conforms(suite: list[str], mesh: Mesh, behind: Mesh, server: Server) -> bool:
    """Whether every check has the same outcome through one sidecar, and through two, as directly, in every revision."""
    is_well = True
    ways = {"the sidecar": mesh, "two sidecars": behind}
    for revision in REVISIONS:
        directly = checks(suite, server.url, revision, mesh.directory / f"directly-{revision}")
        # What is equally bad everywhere proves nothing.
        is_sound = sum(statuses.count("SUCCESS") for statuses in directly.values()) >= FLOORS[revision]
        verdict = "ok  " if is_sound else "FAIL"
        print(f"{verdict} conformance {revision} directly: {counts(directly)}; at least {FLOORS[revision]} must pass")
        is_well = is_well and is_sound
        for name, one in ways.items():
            way = PASSED.format(sidecar=one.sidecar, id=server.name)
            # Not even DNS rebinding is an exception: whose web page asks is checked by the sidecar instead, and as strictly.
            through = checks(suite, way, revision, one.directory / f"through-{revision}")
            different = sorted(check for check in directly | through if directly.get(check) != through.get(check))
            for check in different:
                print(f"     {check}: directly {directly.get(check)}, through {name} {through.get(check)}")
            verdict = "FAIL" if different else "ok  "
            print(f"{verdict} conformance {revision} through {name}: {counts(through)}", flush=True)
            is_well = is_well and not different
    return is_well


def bridges(suite: list[str], mesh: Mesh, server: Server) -> bool:
    """Whether a server that the sidecar runs over standard input and output is as good as over HTTP, but for what that has not."""
    program = {"command": server.command[0], "args": ["-c", f"from {server.module} import mcp; mcp.run('stdio')"]}
    program["env"] = {"PYTHONPATH": server.path}
    manifest = mesh.directory / "stdio.yaml"
    described = {"id": f"{server.name}-stdio", "endpoint": {"stdio": program}, "capabilities": "auto"}
    manifest.write_text(json.dumps(described))
    ours = ["--manifest", str(manifest), "--registry", mesh.registry, "--inbound", "127.0.0.1:0"]
    child = mesh.spawn("bridge", [str(mesh.bin_dir / "mesh-sidecar"), "--listen", "127.0.0.1:0", *ours])
    address = child.logged("peers reach our agent through the inbound port", "address")
    child.logged("our agent is registered", "endpoint")
    url = f"http://{address}/mcp".replace("127.0.0.1", "localhost")
    return all([baseline(suite, mesh, url, revision, "bridge") for revision in REVISIONS])


def offers(suite: list[str], mesh: Mesh, server: Server) -> bool:
    """Whether the tools of a server are as good among those of the mesh, but for what a server of tools alone has not."""
    mesh.offer_tools(server)
    return all([baseline(suite, mesh, f"{mesh.sidecar}/mcp", revision, "mesh") for revision in REVISIONS])


def baseline(suite: list[str], mesh: Mesh, url: str, revision: str, what: str) -> bool:
    """Whether all checks of the suite end as they must, but for those that are known to fail and do."""
    known = HERE / f"{what}-expected-failures-{revision}.yml"
    command = [*suite, "server", "--url", url, "--requirements", revision]
    command += ["--expected-failures", str(known), "--output-dir", str(mesh.directory / f"{what}-{revision}")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SUITE_SECONDS, check=False)
    # Its account of single checks is printed when one ends as it must not.
    print(done.stdout + done.stderr if done.returncode else "", end="")
    verdict = "FAIL" if done.returncode else "ok  "
    total = re.findall(r"^(?:Total|Passed): (.*)$", done.stdout, re.MULTILINE)
    print(f"{verdict} conformance {revision} of the {what}: {total[-1] if total else 'no count'}", flush=True)
    return done.returncode == 0


# === The eras ===


def visits(clients: list[list[str]], urls: list[tuple[str, str]], directory: Path) -> dict[tuple, str | None]:
    """Why a client cannot call the tool at a URL, by client, URL and tool; None when it can."""
    outcomes = {}
    for command in clients:
        done = subprocess.run(
            [*command, "visit", json.dumps(urls)],
            cwd=directory, stdout=subprocess.PIPE, text=True, timeout=VISITS_SECONDS, check=True,
        )
        for line in done.stdout.splitlines():
            client, url, tool, fault = json.loads(line)
            outcomes[client, url, tool] = fault
    return outcomes


def greeting(call: str) -> str:
    """What a call of an agent's tool answers, or why it does not."""
    try:
        return post(call, {"whom": "you"})["content"][0]["text"]
    except urllib.error.HTTPError as fault:
        return fault.read().decode()


def eras(clients: list[list[str]], mesh: Mesh, behind: Mesh, agents: list[Server]) -> bool:
    """Whether every client gets to every agent in every way, and every agent can be called."""

    def url(way: str, agent: Server) -> str:
        return way.format(url=agent.url, sidecar=mesh.sidecar, behind=behind.sidecar, id=agent.name)

    outcomes = visits(clients, [(url(way, agent), agent.tool) for agent in agents for way in WAYS], mesh.directory)
    names = list(dict.fromkeys(client for client, _, _ in outcomes))
    faults, rows = [], [["", *names, "/call"]]
    for agent in agents:
        row = [agent.name]
        for client in names:
            is_apart = agent.is_older and CURRENT_ONLY in client
            row.append("-" if is_apart else "ok")
            for way, translates in WAYS.items():
                fault = outcomes[client, url(way, agent), agent.tool]
                if (fault is None) == (is_apart and not translates):
                    row[-1] = "FAIL"
                    faults.append(f"{client} at {agent.name}, {way}: {fault or 'was expected to fail'}")
        calls = [f"{one.sidecar}/call/{agent.tool}" for one in (mesh, behind)]
        called = [greeting(call) for call in calls]
        row.append("ok" if set(called) == {f"hello you from {agent.name}"} else "FAIL")
        faults.extend([f"/call/{agent.tool}: {called}"] if row[-1] == "FAIL" else [])
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("     " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for fault in faults:
        print(f"FAIL {fault}")
    print(f"{'FAIL' if faults else 'ok  '} {len(outcomes)} visits, each way: {', '.join(WAYS)} (-: the last two only)")
    return not faults


def returns(mesh: Mesh, behind: Mesh, agent: Server) -> bool:
    """Whether an agent is called again that was ended and started again, and knows no session of before."""
    mesh.running[agent.name].kill()
    wait_for(agent, mesh.start(agent))
    faults = []
    for one in (mesh, behind):
        # It takes a moment until everybody has seen that it is back.
        for _ in range(RETURN_SECONDS):
            if (said := greeting(f"{one.sidecar}/call/{agent.tool}")) == f"hello you from {agent.name}":
                break
            time.sleep(1)
        else:
            faults.append(said)
    print(f"{'FAIL' if faults else 'ok  '} {agent.name} is called again after a restart {' '.join(faults)}", flush=True)
    return not faults


# === Changes ===


def hears(client: list[str], mesh: Mesh) -> bool:
    """Whether a client that listens to the mesh hears of a new tool, and finds it then."""
    command = [*client, "hear", f"{mesh.sidecar}/mcp"]
    listening = subprocess.Popen(command, cwd=mesh.directory, stdout=subprocess.PIPE, text=True)
    mesh.stack.callback(listening.kill)
    # It may take a moment until it listens.
    for turn in range(HEARING_SECONDS):
        tool = f"news_{listening.pid}_{turn}"
        post(f"{mesh.registry}/agents", {"id": tool, "endpoint": "http://127.0.0.1:9/mcp", "capabilities": [{"name": tool}]})
        try:
            is_found = "news_" in listening.communicate(timeout=1)[0] and listening.returncode == 0
            break
        except subprocess.TimeoutExpired:
            is_found = False
    print(f"{'ok  ' if is_found else 'FAIL'} {Path(client[-1]).stem} on {client[0].split('/')[-3]} hears of a new tool", flush=True)
    return is_found


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("bin-dir", "venvs", "modules", "everything"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    # Whoever ends us ends what we started as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    python = {name: str(given.venvs.absolute() / name / "bin/python") for name in ("current", "older", "1.12", "oldest")}
    modules = given.modules.absolute()
    node = str(modules / "node_modules/node/bin/node")
    suite = [node, str(modules / "node_modules/@modelcontextprotocol/conformance/dist/index.js")]

    def in_python(name: str, line: str, *arguments: str) -> Server:
        command = [python[line], str(HERE / "python_agent.py"), "{port}", name, *arguments]
        # The oldest line redirects what has no slash at its end.
        return Server(name, command, is_older=line != "current", at="/mcp/" if line == "oldest" else "/mcp")

    def in_typescript(name: str, mode: str) -> Server:
        command = [node, str(modules / "typescript_agent.mjs"), "{port}", name, mode]
        return Server(name, command, is_older=mode != "current")

    fixture = Server(
        "everything", [python["current"], "-m", "mcp_everything_server", "--port", "{port}"],
        path=str(given.everything.absolute()), module="mcp_everything_server.server",
    )
    agents = [
        in_python("fastmcp", "current", "fastmcp"),
        in_python("fastmcp_stateless", "current", "fastmcp", "stateless"),
        in_python("python_2_3", "current", "mcp"),
        in_python("python_1_30", "older", "mcp"),
        in_python("python_1_30_stateless", "older", "mcp", "stateless"),
        in_python("python_1_12", "1.12", "mcp"),
        # With sessions a server of this line does not outlive the end of the first.
        in_python("python_1_9_stateless", "oldest", "mcp", "stateless"),
        in_typescript("typescript_2_4", "current"),
        in_typescript("typescript_1_32", "session"),
        in_typescript("typescript_1_32_stateless", "stateless"),
    ]
    clients = [
        [python["current"], str(HERE / "current_clients.py")],
        *([python[line], str(HERE / "older_client.py")] for line in ("older", "1.12", "oldest")),
        [node, str(modules / "clients.mjs")],
    ]
    with tempfile.TemporaryDirectory(prefix="mesh-mcp-") as directory, ExitStack() as stack:
        places = [Path(directory) / name for name in ("mesh", "behind")]
        for place in places:
            place.mkdir()
        mesh, behind = (Mesh(stack, place, given.bin_dir.absolute()) for place in places)
        mesh.add([fixture, *agents])
        behind.stand_before([fixture, *agents])
        is_well = [
            conforms(suite, mesh, behind, fixture),
            bridges(suite, mesh, fixture),
            offers(suite, mesh, fixture),
            eras(clients, mesh, behind, agents),
            *(returns(mesh, behind, agent) for agent in agents),
            *(hears(client, mesh) for client in clients[:4]),
        ]
    return 0 if all(is_well) else 1


if __name__ == "__main__":
    sys.exit(main())
