"""The Dockerfile and the Compose files, read as what they say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SERVICE = "attendance-task-scheduler"

_CONTINUED = re.compile(r"\\\n\s*")
_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<rest>:[-?][^}]*)?\}")


@dataclass(frozen=True, slots=True)
class Copy:
    """One COPY: what is copied, from the build's files or another stage, to where."""

    sources: tuple[str, ...]
    target: str
    stage: str | None


@dataclass(slots=True)
class Stage:
    """One stage of the Dockerfile: its base and its instructions, in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Return what stands behind each instruction of this name."""
        return [rest for instruction, rest in self.instructions if instruction == name]

    @property
    def copies(self) -> list[Copy]:
        """Return every COPY."""
        copies = []
        for words in map(str.split, self.all("COPY")):
            stage = next(
                (w.removeprefix("--from=") for w in words if w.startswith("--from=")), None
            )
            *sources, target = [word for word in words if not word.startswith("--")]
            copies.append(Copy(tuple(sources), target, stage))
        return copies

    @property
    def environment(self) -> dict[str, str]:
        """Return what ENV sets."""
        words = [word for rest in self.all("ENV") for word in rest.split()]
        return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def stages() -> dict[str, Stage]:
    """Return the Dockerfile's stages by their names."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text())
    found: dict[str, Stage] = {}
    stage = Stage("")
    for line in filter(None, _CONTINUED.sub(" ", text).splitlines()):
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.split()
            stage = found[name] = Stage(base)
        else:
            stage.instructions.append((instruction, rest.strip()))
    return found


def compose(name: str, variables: Mapping[str, str] | None = None) -> Any:
    """Return a Compose file; with `variables`, they stand where it names them.

    A variable that it requires and that isn't there is a KeyError.
    """
    text = (ROOT / name).read_text()
    if variables is not None:
        text = _VARIABLE.sub(lambda match: _value(match, variables), text)
    return yaml.safe_load(text.replace("$$", "$"))


def required_variables(name: str) -> set[str]:
    """Return the variables without which Compose refuses the file."""
    found = _VARIABLE.finditer((ROOT / name).read_text())
    return {match["name"] for match in found if (match["rest"] or "").startswith(":?")}


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    rest = match["rest"] or ""
    if rest.startswith(":-"):
        return variables.get(match["name"]) or rest[2:]
    return variables[match["name"]]
