"""The fenced blocks of the Markdown pages, and the requests that they show."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
from graphql import (
    OperationDefinitionNode,
    OperationType,
    parse,
    print_ast,
    strip_ignored_characters,
)

ROOT = Path(__file__).resolve().parents[2]

FOLDERS = ("bench", "deploy", "docs", "sandbox", "scripts", "web")

LANGUAGES = {"graphql", "js", "json", "python", "sh", "sql", "text", "ts", "yaml"}
"""What the tests know how to check; a block of another language, or of none, is a failure."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<language>.*)$")
_BODY = re.compile(r"<<'JSON'\n(?P<body>.*?)\nJSON$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block; `line` is the fence's, counted from 1."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(slots=True, kw_only=True)
class Step:
    """One request of a page: as GraphQL, as a command with curl, or as both; and its answer."""

    first: Block
    operation: str | None = None
    variables: dict[str, object] | None = None
    command: str | None = None
    answer: object = None

    @property
    def kind(self) -> OperationType:
        """What kind of operation it is; a command without one counts as a query."""
        if self.operation is None:
            is_mutation = "mutation" in (self.command or "")
            return OperationType.MUTATION if is_mutation else OperationType.QUERY
        return _definition(self.operation).operation

    @property
    def takes_variables(self) -> bool:
        """Whether the operation declares variables."""
        return self.operation is not None and bool(_definition(self.operation).variable_definitions)

    @property
    def is_run(self) -> bool:
        """Whether there is something to send."""
        return self.operation is not None or self.command is not None


def pages() -> list[Path]:
    """Return the project's Markdown files, relative to its root."""
    found = [
        *ROOT.glob("*.md"),
        *(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.md")),
    ]
    return sorted(path.relative_to(ROOT) for path in found)


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks in order."""
    return list(_blocks(page, (ROOT / page).read_text("utf-8").splitlines()))


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    opened: re.Match[str] | None = None
    start, inside = 0, list[str]()
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, start, inside = fence, number, []
        elif opened is not None and line.strip() == opened["marks"]:
            text = "\n".join(one.removeprefix(opened["indent"]) for one in inside)
            yield Block(page=page, line=start, language=opened["language"].strip(), text=text)
            opened = None
        elif opened is not None:
            inside.append(line)
    assert opened is None, f"{page}:{start}: this block has no end"


def steps(shown: Iterable[Block]) -> list[Step]:
    """Return the requests of a page.

    After a `graphql` block come, each if there is one: `json` with its variables, `sh` with the
    same as a command, `json` with its answer. A command may stand alone, with an answer or none.
    """
    found: list[Step] = []
    for block in shown:
        last = found[-1] if found else None
        if block.language == "graphql":
            found.append(Step(first=block, operation=block.text))
        elif block.language == "sh" and "curl " in block.text:
            if last is None or last.operation is None or last.command or last.answer is not None:
                found.append(last := Step(first=block))
            last.command = block.text
        elif block.language == "json":
            assert last is not None, f"{block}: belongs to no request"
            _add_json(last, block)
    return found


def _add_json(step: Step, block: Block) -> None:
    value = orjson.loads(block.text)
    if step.takes_variables and step.variables is None:
        step.variables = value
    else:
        assert step.answer is None, f"{block}: belongs to no request"
        step.answer = value


def body_of(command: str) -> dict[str, object]:
    """Return the JSON that a command with curl sends from its here-document."""
    match = _BODY.search(command)
    assert match, f"the body has to be a here-document between <<'JSON' and JSON: {command}"
    body: dict[str, object] = orjson.loads(match["body"])
    return body


def normal(operation: str) -> str:
    """Return an operation in one form, however it was laid out."""
    return strip_ignored_characters(print_ast(parse(operation)))


def _definition(operation: str) -> OperationDefinitionNode:
    [definition] = parse(operation).definitions
    assert isinstance(definition, OperationDefinitionNode)
    return definition
