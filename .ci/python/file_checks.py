"""The manifests and configurations that the repository ships are accepted by the binaries that read them."""

import asyncio
import subprocess
from pathlib import Path

from mesh import HERE, Mesh

ROOT = HERE.parent.parent
CHECK_SECONDS = 20


async def the_example_manifests_are_valid(mesh: Mesh) -> None:
    manifests = [*ROOT.glob("examples/*/*.yaml"), *ROOT.glob("deploy/compose/*.yaml")]
    assert manifests
    for manifest in manifests:
        await accepted(mesh, "mesh-sidecar", "--manifest", manifest)


async def the_sample_configuration_is_valid(mesh: Mesh) -> None:
    await accepted(mesh, "mesh-registry", "--config", ROOT / "deploy" / "registry.yaml")


async def accepted(mesh: Mesh, binary: str, flag: str, file: Path) -> None:
    """The binary's own check has nothing to say against the file."""
    command = [mesh.binary(binary), flag, str(file), "--check"]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=CHECK_SECONDS, cwd=mesh.directory
    )
    assert done.returncode == 0, f"{file.relative_to(ROOT)}: {done.stdout}{done.stderr}"


CHECKS = [the_example_manifests_are_valid, the_sample_configuration_is_valid]
