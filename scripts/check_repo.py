"""Check what linters don't: locks, registries, the length of files, reasons for what is waived.

Usage: python -m scripts.check_repo. It prints a line for each finding, and ends with 1 if any.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_SOURCE_LINES = 300
MAX_TEST_LINES = 500

# Joined here, so that this file is no finding of its own.
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"))]
REGISTRIES += [f"npmjs.{ending}" for ending in ("org", "com")]
LOCKS_WITH_ADDRESSES = {"package-lock.json", "pdm.lock", "poetry.lock", "uv.lock", "yarn.lock"}
LOCK_LINE = re.compile(
    r"[a-z0-9-]+(\[[a-z0-9, -]+\])?==[\w.]+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?"
)
WAIVER = re.compile(r"# (noqa|type: ignore|pragma: no)(?P<rest>.*)")
REASON = re.compile(r" [-#] \w")


def findings(path: Path, text: str) -> Iterator[str]:
    """Yield what is wrong with a file of the repository, each as `path:line: sentence`."""
    lines = text.splitlines()
    if path.name in LOCKS_WITH_ADDRESSES:
        yield f"{path}:1: this lock holds addresses"
    for number, line in enumerate(lines, start=1):
        if path.suffix != ".md" and any(host in line for host in REGISTRIES):
            yield f"{path}:{number}: names the host of a package registry"
        if path.match("requirements*.txt") and not LOCK_LINE.fullmatch(line):
            yield f"{path}:{number}: is neither a pinned version nor a hash"
    if path.suffix == ".py":
        yield from _python_findings(path, lines)


def _python_findings(path: Path, lines: list[str]) -> Iterator[str]:
    most = MAX_TEST_LINES if path.parts[0] in ("tests", "bench") else MAX_SOURCE_LINES
    if len(lines) > most and path.parts[0] != "migrations":
        yield f"{path}:{most}: has more than {most} lines"
    for number, line in enumerate(lines, start=1):
        waiver = WAIVER.search(line)
        if waiver and not REASON.search(waiver["rest"]):
            yield f"{path}:{number}: waives a rule without a reason beside it"


def main() -> int:
    """Check every file that git tracks or would track; return the exit code."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    found = [
        finding
        for path in paths
        if path.is_file()
        for finding in findings(path, path.read_text(errors="replace"))
    ]
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
