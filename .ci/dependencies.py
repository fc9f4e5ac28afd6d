"""Fails on a dependency whose licence is not on the list, and on two versions of what may be there only once."""

import subprocess
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
}
# Two of these mean two TLS stacks, two HTTP stacks or two runtimes in one program.
ONCE = {"aws-lc-rs", "axum", "http", "hyper", "hyper-util", "reqwest", "ring", "rustls", "tokio", "tower", "tower-http"}


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression can be satisfied with allowed licences alone."""
    alternatives = expression.replace("/", " OR ").replace("(", " ").replace(")", " ")
    if " AND " not in alternatives:
        return any(part.strip() in ALLOWED for part in alternatives.split(" OR "))
    # Mixed expressions are rare: every name in them must be allowed, which is stricter than needed.
    names = alternatives.replace(" AND ", " OR ").split(" OR ")
    return all(name.strip() in ALLOWED for name in names)


def packages() -> list[tuple[str, str, str]]:
    """Name, version and licence of everything that is built."""
    command = ["cargo", "tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}|{l}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = set()
    for line in filter(None, lines):
        package, licence = line.removesuffix(" (*)").split("|")
        name, version, *_ = package.split(" ")
        found.add((name, version, licence.removesuffix(" (*)")))
    return sorted(found)


def main() -> int:
    found = packages()
    faults = [
        f"{name} {version}: licence {licence!r} is not on the list"
        for name, version, licence in found
        if not is_allowed(licence)
    ]
    for once in sorted(ONCE):
        versions = [version for name, version, _ in found if name == once]
        if len(versions) > 1:
            faults.append(f"{once} is there in the versions {', '.join(versions)}")
    if {"ring", "aws-lc-rs"} <= {name for name, _, _ in found}:
        faults.append("ring and aws-lc-rs are both there: one TLS provider is enough")
    print("\n".join(faults) or f"{len(found)} packages, all licences allowed, nothing twice that may be there once")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
