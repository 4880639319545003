"""The image's steps, as the Dockerfile has them, carried out in a folder instead of a container."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from tests.containers import ROOT, Copy, Stage, stages

UID = "10001"
STEP_SECONDS = 400
# What the steps name from the root of a container's files.
_PLACES = re.compile(r"(?<![\w./-])/(?=(?:app|build|venv)\b)")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "static")  # as .dockerignore says


@dataclass(frozen=True, slots=True)
class Image:
    """What the Dockerfile makes, below `root`."""

    root: Path
    runtime: Stage
    path: str

    def command(self, instruction: str) -> list[str]:
        """Return CMD or HEALTHCHECK, as the image's user runs it."""
        (rest,) = self.runtime.all(instruction)
        words: list[str] = orjson.loads(rest[rest.index("[") :])
        return [*_as_nobody(), *words]

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return what ENV says, and `settings` over it; there is no home to write to."""
        given = {"HOME": "/nonexistent", **self.runtime.environment, **settings}
        return given | {"PATH": f"{self.root}/venv/bin:{self.path}"}

    @property
    def folder(self) -> Path:
        """Where CMD runs."""
        return self.root / "app"

    def files(self) -> set[Path]:
        """Return all that is there."""
        return set(self.root.rglob("*"))


@contextmanager
def built_image() -> Iterator[Image]:
    """Carry out every stage; yield what came of it, where nothing can be written any more.

    All stages share one folder: no two of them use the same place. No account is made.
    """
    with TemporaryDirectory(prefix="image-") as made:
        root = Path(made)
        root.chmod(0o755)
        path = f"{_programs(root)}:{os.environ['PATH']}"
        for stage in stages().values():
            _carry_out(stage, root, path)
        subprocess.run(["chmod", "-R", "a-w", made], check=True)
        try:
            yield Image(root, stages()["runtime"], path)
        finally:
            subprocess.run(["chmod", "-R", "u+w", made], check=True)


def _carry_out(stage: Stage, root: Path, path: str) -> None:
    folder = root
    copies = iter(stage.copies)
    for instruction, rest in stage.instructions:
        if instruction == "WORKDIR":
            folder = root / rest.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            _copy(next(copies), root, folder)
        elif instruction == "ENV" and "/venv/bin" in rest:
            path = f"{root}/venv/bin:{path}"
        elif instruction == "RUN" and not rest.startswith("groupadd"):
            subprocess.run(
                ["sh", "-euc", _PLACES.sub(f"{root}/", rest)],
                cwd=folder,
                env={**os.environ, "PATH": path},
                check=True,
                timeout=STEP_SECONDS,
            )


def _copy(copy: Copy, root: Path, folder: Path) -> None:
    for source in copy.sources:
        found = ROOT / source if copy.stage is None else root / source.lstrip("/")
        target = root / copy.target[1:] if copy.target.startswith("/") else folder / copy.target
        if found == target:
            continue
        if found.is_dir():
            ignore = _LEFT_OUT if copy.stage is None else None
            shutil.copytree(found, target, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy(found, target / found.name if copy.target.endswith("/") else target)


def _programs(root: Path) -> Path:
    """Make a folder whose `python` is the image's version, or if there is none, this one."""
    folder = root / "programs"
    folder.mkdir()
    _, _, tag = stages()["runtime"].base.partition(":")
    name = f"python{tag.partition('-')[0]}"
    candidates = [shutil.which(name), *Path.home().glob(f".pyenv/versions/*/bin/{name}")]
    python = next((str(each) for each in candidates if each and _runs(each)), sys.executable)
    (folder / "python").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    (folder / "python").chmod(0o755)
    return folder


def _runs(python: str | Path) -> bool:
    return subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def _as_nobody() -> list[str]:
    """Return what runs a command as the image's user, as far as we may.

    It may read whatever we can: the interpreter may lie in root's home. It may write nothing.
    """
    if os.geteuid() != 0:
        return []
    read = "+dac_read_search"
    identity = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    return ["setpriv", *identity, f"--inh-caps={read}", f"--ambient-caps={read}"]
