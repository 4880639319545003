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
    wanted = PEERS / "packages.txt"
    if _is_there(FOLDER / "venv", wanted):
        return
    shutil.rmtree(FOLDER / "venv", ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
    _note(FOLDER / "venv", wanted)


def install_node() -> None:
    """Put the Node peers beside their packages, and fetch these if they are not there as wanted.

    npm writes no lock, since that would hold addresses; package.json has the exact versions.
    """
    shutil.copytree(PEERS / "node", NODE, dirs_exist_ok=True)
    wanted = PEERS / "node" / "package.json"
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


def missing(*programs: str) -> list[str]:
    """Return which of the programs this machine lacks."""
    return [program for program in programs if shutil.which(program) is None]


def _is_there(folder: Path, wanted: Path) -> bool:
    note = folder / "installed"
    return note.exists() and note.read_text() == wanted.read_text()


def _note(folder: Path, wanted: Path) -> None:
    (folder / "installed").write_text(wanted.read_text())
