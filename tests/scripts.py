"""The shell scripts, run as a person runs them."""

import asyncio
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from models.postgres_programs import MAJOR, PACKAGE
from tests.containers import ROOT

SECONDS = 60.0


async def script(
    name: str,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    path: tuple[Path, ...] = (),
) -> tuple[int, str]:
    """Run `scripts/NAME.sh` of `folder`; return its exit status and all that it printed.

    It has an environment of its own: `settings`, and the programs of `path` before the others.
    """
    process = await asyncio.create_subprocess_exec(
        "bash",
        str(folder / "scripts" / f"{name}.sh"),
        *arguments,
        cwd=folder,
        env={"PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]])} | dict(settings or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode is not None
    return process.returncode, output.decode()


def postgres_programs() -> Path:
    """Return the folder of the embedded PostgreSQL's programs: as new as its server."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
