"""The peers, installed from their packages into .bench/, which git ignores."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.processes import ROOT

FOLDER = ROOT / ".bench"
PEERS = ROOT / "bench" / "peers"
PYTHON = FOLDER / "venv" / "bin" / "python"
NODE = FOLDER / "node"
# The client is generated without the schema engine, whose download Prisma begins all the same.
_PRISMA = {"PRISMA_SCHEMA_ENGINE_BINARY": sys.executable}


def install_python() -> None:
    """Make the environment of the Python peers and of the plots, if there is none as wanted."""
    packages = PEERS / "packages.txt"
    wanted = packages.read_text()
    if _is_there(FOLDER / "venv", wanted):
        return
    shutil.rmtree(FOLDER / "venv", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "-r", packages], check=True)
    _note(FOLDER / "venv", wanted)


def why_no_node() -> str:
    """Install the Node peers; return why they can't run here, or nothing."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"this machine has no {program}"
    try:
        _install_node()
    except subprocess.CalledProcessError as error:
        return f"`{' '.join(map(str, error.cmd[:2]))}` failed"
    return ""


def why_no_redis() -> str:
    """Return why there can be no Redis here, or nothing."""
    return "" if shutil.which("redis-server") else "this machine has no redis-server"


def _install_node() -> None:
    """Put the Node peers beside their packages, and fetch these if they are not there as wanted.

    npm writes no lock, since that would hold addresses; package.json has the exact versions.
    """
    shutil.copytree(PEERS / "node", NODE, dirs_exist_ok=True)
    wanted = "".join((NODE / name).read_text() for name in ("package.json", "schema.prisma"))
    if _is_there(NODE, wanted):
        return
    options = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    # The packages' own scripts would download engines, which the peers don't use.
    subprocess.run(["npm", "install", "--ignore-scripts", *options], cwd=NODE, check=True)
    generate = ["npx", "prisma", "generate"]
    subprocess.run(
        generate, cwd=NODE, env=os.environ | _PRISMA, check=True, stdout=subprocess.DEVNULL
    )
    _note(NODE, wanted)


def _is_there(folder: Path, wanted: str) -> bool:
    note = folder / "installed"
    return note.exists() and note.read_text() == wanted


def _note(folder: Path, wanted: str) -> None:
    (folder / "installed").write_text(wanted)
