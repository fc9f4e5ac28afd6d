"""Does what examples/README.md says, in a copy of the folder, and compares what it prints with what the guide says.

The commands are the guide's own. Only the ports are others, so that runs do not meet: in the copy they are replaced, and
where a binary has one for its default, its environment says another.
What the section "Install" brings is kept and made anew when it, or the lists that it reads, have changed.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from guide import Step, steps

PORTS = ("8000", "8001", "8002", "15001", "15002")
# What the binaries are told in place of their defaults.
DEFAULTS = {
    "MESH_REGISTRY_LISTEN": "127.0.0.1:8000",
    "MESH_SIDECAR_REGISTRY": "http://127.0.0.1:8000",
    "MESH_SIDECAR_LISTEN": "127.0.0.1:15001",
    # FastMCP asks its registry for a newer release at the start.
    "FASTMCP_CHECK_FOR_UPDATES": "off",
}
# What the section "Install" reads, and what it makes.
LISTS = ("python/requirements.txt", "typescript/package.json")
INSTALLED = ("python/.venv", "typescript/node_modules")
INSTALL_SECONDS = 300
# The guide's curl gives up after 30 tries with a second between them.
READY_SECONDS = 120
CALL_SECONDS = 60
# Sidecars have no calls left to wait for.
STOP_SECONDS = 30
TAIL_LINES = 40


class Failure(Exception):
    """The guide does not say what happens."""


class Reader:
    """Somebody who follows the guide in `folder`, with the programs of `path` before all others."""

    def __init__(self, folder: Path, path: list[Path], settings: dict[str, str]):
        self.folder = folder
        # None of the mesh's settings that we were started with.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MESH_", "RUST_LOG", "HOST", "PORT"))}
        self.environment = {**kept, **settings, "PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]])}

    def shell(self, commands: str) -> subprocess.Popen:
        """A shell that carries the commands out, in a process group of its own."""
        return subprocess.Popen(
            ["bash", "-euc", commands], cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def does(self, step: Step, seconds: float) -> None:
        """Carries a step out and compares."""
        shell = self.shell(step.commands)
        try:
            printed, _ = shell.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"not done within {seconds} s:\n{step.commands}") from None
        finally:
            end(shell)
        if shell.returncode != 0:
            raise Failure(f"status {shell.returncode} of\n{step.commands}{printed}")
        if step.printed is not None and printed != step.printed:
            raise Failure(f"{step.commands}prints\n{printed}and the guide says\n{step.printed}")


def end(shell: subprocess.Popen) -> None:
    """Ends what is left of the shell and of all that it started."""
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    shell.wait()


def install(examples: Path, work: Path, wanted: list[Step]) -> Path:
    """Carries out the section "Install" in a folder that is kept; the folder."""
    kept, stamp = work / "installed", work / "installed.txt"
    needed = "\n".join([*(step.commands for step in wanted), *((examples / name).read_text() for name in LISTS)])
    if not stamp.exists() or stamp.read_text() != needed:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        for name in LISTS:
            (kept / name).parent.mkdir(parents=True)
            shutil.copy(examples / name, kept / name)
        for step in wanted:
            Reader(kept, [], {}).does(step, INSTALL_SECONDS)
        stamp.write_text(needed)
    return kept


def copy(examples: Path, kept: Path, folder: Path, with_ports: Callable[[str], str]) -> None:
    """Copies the examples, what was installed, and nothing else."""
    for name in ("README.md", "python", "typescript"):
        source = examples / name
        for file in [source] if source.is_file() else filter(Path.is_file, source.iterdir()):
            copied = folder / file.relative_to(examples)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_text(with_ports(file.read_text()))
    for name in INSTALLED:
        (folder / name).symlink_to(kept / name)


def free_ports() -> Callable[[str], str]:
    """Replaces the guide's ports in a text, each by one that nobody listens on."""
    probes = {port: socket.create_server(("127.0.0.1", 0)) for port in PORTS}
    free = {port: str(probe.getsockname()[1]) for port, probe in probes.items()}
    for probe in probes.values():
        probe.close()
    return lambda text: re.sub(rf"\b({'|'.join(PORTS)})\b", lambda port: free[port[0]], text)


def follow(reader: Reader, guide: dict[str, list[Step]]) -> None:
    """Starts everything, makes the calls, and stops everything, in the guide's words."""
    start, ready = guide["Start"]
    (stop,) = guide["Stop"]
    # One shell starts and stops, because the guide stops its jobs; between the two it waits for our line, or for our end.
    mesh = reader.shell(f"{start.commands}read -r || true\n{stop.commands}wait\n")
    try:
        reader.does(ready, READY_SECONDS)
        print("ok   everybody is there", flush=True)
        for call in guide["Call"]:
            if call.printed is None:
                raise Failure(f"the guide does not say what is printed by\n{call.commands}")
            reader.does(call, CALL_SECONDS)
            print(f"ok   {call.commands.splitlines()[0]}", flush=True)
        printed, _ = mesh.communicate("\n", timeout=STOP_SECONDS)
        if printed or mesh.returncode != 0:
            raise Failure(f"starting and stopping ends with status {mesh.returncode} and prints\n{printed}")
        print("ok   everybody is gone", flush=True)
    except subprocess.TimeoutExpired:
        raise Failure(f"somebody is still there {STOP_SECONDS} s after\n{stop.commands}") from None
    except Failure:
        print_logs(reader.folder)
        raise
    finally:
        end(mesh)


def print_logs(folder: Path) -> None:
    """The ends of the logs, under headings."""
    for log in sorted(folder.glob("**/*.log")):
        print(f"--- {log.relative_to(folder)}", *log.read_text(errors="replace").splitlines()[-TAIL_LINES:], sep="\n")


def check_types(folder: Path, compiler: Path, node_dir: Path) -> None:
    """The compiler has nothing to say against the TypeScript, which Node runs without looking at its types."""
    options = "--noEmit --strict --target es2023 --module nodenext --erasableSyntaxOnly --skipLibCheck --types node"
    command = f"{compiler}/.bin/tsc {options} --typeRoots {compiler}/@types typescript/*.ts"
    Reader(folder, [node_dir], {}).does(Step(command, ""), CALL_SECONDS)
    print("ok   the types are right", flush=True)


def run(examples: Path, work: Path, bin_dir: Path, node_dir: Path, compiler: Path) -> None:
    """The whole guide; fails with what is wrong in it."""
    work.mkdir(parents=True, exist_ok=True)
    # npm of the machine goes with the machine's node: the newer one is for what runs.
    kept = install(examples, work, steps((examples / "README.md").read_text())["Install"])
    with_ports = free_ports()
    settings = {name: with_ports(value) for name, value in DEFAULTS.items()}
    with tempfile.TemporaryDirectory(prefix="mesh-examples-") as name:
        folder = Path(name)
        copy(examples, kept, folder, with_ports)
        check_types(folder, compiler, node_dir)
        follow(Reader(folder, [bin_dir, node_dir], settings), steps((folder / "README.md").read_text()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in {
        "examples": "the folder with the guide", "work": "where what was installed is kept",
        "bin-dir": "where the two binaries are", "node-dir": "where node is", "compiler": "modules with typescript",
    }.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    arguments = {name: path.absolute() for name, path in vars(parser.parse_args()).items()}
    # Told to end, it still ends the processes that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        run(**arguments)
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
