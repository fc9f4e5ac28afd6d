"""Child processes: started with their output in a file, watched through it, and stopped by their own handle only."""

import json
import subprocess
import time
from pathlib import Path

# A cold Python agent needs up to 6 s to start on two busy cores; ten times that is a hang.
START_SECONDS = 60
# The sidecar may take 25 s to finish its calls in flight, though here it has none.
STOP_SECONDS = 30
POLL_SECONDS = 0.05
TAIL_LINES = 40


class Child:
    """One process and its log."""

    def __init__(self, name: str, command: list[str], directory: Path, environment: dict[str, str]):
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def logged(self, message: str, field: str) -> str:
        """Waits for the JSON log line with this message and returns one of its fields."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for fields in filter(None, map(log_fields, self.log.read_text().splitlines())):
                if fields.get("message") == message:
                    return fields[field]
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode} before '{message}'")
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{self.name} did not log '{message}' within {START_SECONDS} s")

    def kill(self) -> None:
        """Ends the process without a chance to say goodbye."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Asks the process to end, and insists if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def tail(self) -> str:
        """The end of the log, under a heading."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"--- {self.name} ({self.log.name})", *lines])


def log_fields(line: str) -> dict | None:
    """The fields of a JSON log line, wherever the formatter put them; None for any other line."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return {**record, **record.get("fields", {})} if isinstance(record, dict) else None
