"""The commands on the pages that can't be run in a test: what they name has to be there.

Blocks with curl are run (tests/e2e/test_docs.py). Of all other `sh` blocks each command is looked
up here by its first word; one that is not listed is a problem, so that nothing stays unchecked.
"""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from main import COMMANDS
from tests.docs.blocks import ROOT

NOT_CHECKED = {
    "cd": "a folder of the reader's",
    "git": "clones or updates the reader's copy",
    "npx": "runs what npm installed; tests/e2e/test_docs.py runs the same program",
}
"""Commands that name nothing of the project's, and why they are on a page."""

_TARGET = re.compile(r"^([a-z0-9]+):", re.MULTILINE)
_SERVICE = re.compile(r"^  ([a-z-]+):$", re.MULTILINE)
_ENDS = {";", "&&", "||", "|", "&"}
_DOCKER_VALUES = {"-f", "--file", "--scale", "--tail", "--since", "--user", "--format", "-e"}


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a block, without assignments before it."""
    lexer = shlex.shlex(
        text.replace("\\\n", " ").replace("\n", "\n;\n"), posix=True, punctuation_chars=";&|"
    )
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _ENDS:
            words.append(word)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            yield words
        words = []


def problem(words: list[str]) -> str | None:
    """Return what a command names that isn't there, or None."""
    first, *rest = words
    if first in NOT_CHECKED:
        return None
    check = _CHECKS.get(first, _script if first.startswith(("scripts/", "./scripts/")) else None)
    if check is None:
        return f"{first}: no check knows this command"
    return check(words if check is _script else rest)


def targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(_TARGET.findall((ROOT / "Makefile").read_text()))


def _make(words: list[str]) -> str | None:
    known = targets()
    for word in words:
        if "=" not in word and word not in known:
            return f"make {word}: there is no such target"
    tried = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return tried.stderr or None


def _script(words: list[str]) -> str | None:
    return _file(words[0].removeprefix("./"))


def _shell(words: list[str]) -> str | None:
    return _file(words[0])


def _file(name: str) -> str | None:
    return None if (ROOT / name).exists() else f"{name}: there is no such file"


def _docker(words: list[str]) -> str | None:
    """Check the files and the services of `docker compose`."""
    if words[0] != "compose":
        return None
    files = [words[at + 1] for at, word in enumerate(words) if word in {"-f", "--file"}]
    missing = [found for name in files if (found := _file(name))]
    return missing[0] if missing else _services(words)


def _services(words: list[str]) -> str | None:
    if not {"exec", "logs", "run", "up", "restart"} & set(words):
        return None
    known = _known_services()
    verb = next(
        at for at, word in enumerate(words) if word in {"exec", "logs", "run", "up", "restart"}
    )
    named = [
        word
        for before, word in zip(words[verb:], words[verb + 1 :], strict=False)
        if not word.startswith("-") and before not in _DOCKER_VALUES
    ]
    if words[verb] in {"exec", "run"}:
        named = named[:1]
    wrong = [name for name in named if known and name not in known]
    return f"{wrong[0]}: no Compose file has this service" if wrong else None


def _known_services() -> set[str]:
    texts = [path.read_text() for path in ROOT.glob("docker-compose*.yml")]
    return {name for text in texts for name in _SERVICE.findall(text.partition("\nservices:")[2])}


def _python(words: list[str]) -> str | None:
    match words:
        case ["main.py", command, *_]:
            return None if command in COMMANDS else f"main.py has no command {command}"
        case ["-m", "pytest", *arguments]:
            return _pytest(arguments)
        case ["-m", module, *_]:
            path = module.replace(".", "/")
            there = any((ROOT / f"{path}{end}").exists() for end in (".py", "/__main__.py"))
            return None if there else f"{module}: there is no such module"
        case ["-c", program]:
            return _runs(program)
        case _:
            return f"{words}: no check knows this"


def _runs(program: str) -> str | None:
    tried = subprocess.run(
        [ROOT / ".venv/bin/python", "-c", program], capture_output=True, text=True, check=False
    )
    return tried.stderr or (None if tried.stdout else f"{program}: prints nothing")


def _pytest(arguments: list[str]) -> str | None:
    paths = [word.partition("::")[0] for word in arguments if word.startswith("tests/")]
    return next((found for path in paths if (found := _file(path))), None)


def _npm(words: list[str]) -> str | None:
    package = orjson.loads(Path(ROOT / "tests/e2e/clients/package.json").read_bytes())
    names = [word for word in words[1:] if not word.startswith("-")]
    wrong = [name for name in names if name not in package["dependencies"]]
    return f"{wrong[0]}: tests/e2e/clients/package.json has no such package" if wrong else None


def _pip(words: list[str]) -> str | None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = {re.split(r"[<>=]", line)[0] for line in project["dependency-groups"]["dev"]}
    wrong = [word for word in words[1:] if word not in known]
    return f"{wrong[0]}: the development dependencies don't have it" if wrong else None


def _copy(words: list[str]) -> str | None:
    return _file(words[0])


def _openssl(words: list[str]) -> str | None:
    return None if words[:1] == ["rand"] else "only `openssl rand` is known"


_CHECKS: dict[str, Callable[[list[str]], str | None]] = {
    ".venv/bin/pytest": _pytest,
    ".venv/bin/python": _python,
    "cp": _copy,
    "docker": _docker,
    "make": _make,
    "npm": _npm,
    "openssl": _openssl,
    "pip": _pip,
    "python": _python,
    "sh": _shell,
}
