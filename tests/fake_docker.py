"""A stand-in for `docker`, which can't run here: it keeps images and copies in a file, no more.

As a program it does one command on the file that FAKE_DOCKER names; one that it doesn't know ends
with 64, so that a script can't say anything to it that was not thought of.
"""

import json
import os
import stat
import sys
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path

IMAGE = "discord-task-scheduler"
SUBNET = "172.18.0.0/16"


@dataclass(slots=True, kw_only=True)
class FakeDocker:
    """What there is: tags with the images they name, the image of each copy, and what fails."""

    tags: dict[str, str] = field(default_factory=dict)
    copies: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Images whose copies never become healthy."""
    builds: str = "new"
    """The image that the next build makes."""
    fails: list[str] = field(default_factory=list)
    """Patterns of commands that end with 1."""
    calls: list[str] = field(default_factory=list)

    def run(self, command: str) -> tuple[int, str]:
        """Do one command; return its exit status and what it prints."""
        self.calls.append(command)
        if any(fnmatch(command, pattern) for pattern in self.fails):
            return 1, "it failed"
        match command.split():
            case ["compose", "config" | "logs" | "run", *_]:
                return 0, ""
            case ["network", "inspect", _, *rest]:
                return 0, f"{SUBNET} " if rest else "[]"
            case ["compose", "ps", "--quiet", _]:
                return 0, "\n".join(str(number) for number in range(len(self.copies)))
            case ["inspect", "--format", what, number]:
                image = self.copies[int(number)]
                health = "unhealthy" if image in self.broken else "healthy"
                return 0, image if "Image" in what else health
            case ["image", "tag", source, name]:
                self.tags[name] = self.tags.get(source, source)
                return 0, ""
            case ["image", "inspect", name]:
                return (0, "[]") if name in self.tags else (1, "")
            case ["compose", "build", _]:
                self.tags[f"{IMAGE}:latest"] = self.builds
                return 0, ""
            case ["compose", "up", *_]:
                self.copies = [self.tags[f"{IMAGE}:latest"]] * 2
                return (1, "unhealthy") if self.copies[0] in self.broken else (0, "")
        return 64, f"unknown: {command}"

    def install(self, folder: Path) -> None:
        """Put it, as a program, into a folder for PATH."""
        program = folder / "docker"
        command = f'exec "{sys.executable}" "{__file__}" "$@"'
        program.write_text(f'#!/bin/sh\nFAKE_DOCKER="{folder}/docker.json" {command}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.write(folder)

    def write(self, folder: Path) -> None:
        """Write what there is for the program."""
        (folder / "docker.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "FakeDocker":
        """Return what there is after the program ran."""
        return cls(**json.loads((folder / "docker.json").read_text()))


def main() -> int:
    """Do the command in the arguments."""
    folder = Path(os.environ["FAKE_DOCKER"]).parent
    docker = FakeDocker.read(folder)
    status, output = docker.run(" ".join(sys.argv[1:]))
    docker.write(folder)
    if output:
        sys.stdout.write(f"{output}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
