"""Every block of every page is of a kind that the tests check, and says what is true."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from graphql import parse, validate

from schema.arguments import MAX_LIMIT
from schema.complexity import MAX_ALIASES, MAX_DEPTH, MAX_ROOT_FIELDS, MAX_TOKENS
from schema.core import core_schema
from schema.cost import MAX_COST
from schema.errors import MAX_ANSWER_BYTES, ErrorCode
from schema.schema import build_schema
from tests.docs.answers import Names
from tests.docs.blocks import LANGUAGES, ROOT, Block, Step, blocks, body_of, normal, pages, steps
from tests.docs.commands import commands, problem, targets
from tests.docs.programs import file_name

BLOCKS = [block for page in pages() for block in blocks(page)]
STEPS = [step for page in pages() for step in steps(blocks(page))]
PROGRAMS = ("js", "python", "ts")
A, B, C = (f"01a206ff-3467-700e-8036-46509595f69{digit}" for digit in "123")


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_has_a_language_that_is_checked(block: Block) -> None:
    assert block.language in LANGUAGES


@pytest.mark.parametrize("block", of("graphql"), ids=str)
def test_operation_fits_the_schema(block: Block) -> None:
    assert validate(core_schema(build_schema()), parse(block.text)) == []


@pytest.mark.parametrize(
    "step", [step for step in STEPS if step.operation], ids=lambda s: str(s.first)
)
def test_operation_has_its_variables_and_its_answer(step: Step) -> None:
    assert step.answer is not None
    assert step.takes_variables == (step.variables is not None)


@pytest.mark.parametrize(
    "step", [step for step in STEPS if step.operation and step.command], ids=lambda s: str(s.first)
)
def test_command_sends_the_operation_before_it(step: Step) -> None:
    assert step.command
    assert step.operation
    body = body_of(step.command)

    assert normal(str(body["query"])) == normal(step.operation)
    assert body.get("variables") == step.variables


@pytest.mark.parametrize("block", [one for one in of("sh") if "curl " not in one.text], ids=str)
def test_commands_name_what_is_there(block: Block) -> None:
    assert [found for words in commands(block.text) if (found := problem(words))] == []


@pytest.mark.parametrize("block", of(*PROGRAMS), ids=str)
def test_program_names_its_file(block: Block) -> None:
    assert file_name(block)


@pytest.mark.parametrize("page", pages(), ids=str)
def test_commands_in_sentences_name_what_is_there(page: Path) -> None:
    text = (ROOT / page).read_text()

    named = re.findall(r"`(?:[A-Z_]+=\S+ )*((?:make|python) [^`]+|scripts/[^`]+\.sh)`", text)

    assert [found for name in named for words in commands(name) if (found := problem(words))] == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    """Return whether a link's file is there, and the heading in it."""
    name, _, heading = link.partition("#")
    if link.startswith("mailto:"):
        return True
    path = ROOT / page.parent / name if name else ROOT / page
    if not path.exists():
        return False
    return not heading or heading in anchors(path.read_text())


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_changelog_ends_with_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[:2] == ["Unreleased", project["version"]]


def test_every_operation_is_on_the_page_of_the_api() -> None:
    page = (ROOT / "docs/API.md").read_text()
    schema = core_schema(build_schema())
    roots = [schema.query_type, schema.mutation_type, schema.subscription_type]

    names = [name for root in roots if root for name in root.fields]

    assert len(names) == 15
    assert [name for name in names if f"\n### {name}\n" not in page] == []


def test_page_of_the_api_has_every_code_and_the_limits_that_hold() -> None:
    page = (ROOT / "docs/API.md").read_text()
    shapes = (MAX_TOKENS, "tokens"), (MAX_DEPTH, "levels"), (MAX_ALIASES, "aliases")
    limits = [f"{most} {what}" for most, what in (*shapes, (MAX_ROOT_FIELDS, "root fields"))]
    limits += [
        f"cost | {MAX_COST} |",
        f"list | {MAX_LIMIT} |",
        f"answer | {MAX_ANSWER_BYTES >> 20} MiB",
    ]

    assert re.findall(r"^\| `([A-Z_]+)` \| (?=\d{3})", page, re.MULTILINE) == list(ErrorCode)
    assert [limit for limit in limits if limit not in page] == []


def test_list_of_decisions_has_each_page_by_its_title() -> None:
    folder = ROOT / "docs/decisions"
    titles = [(path.name, path.read_text().partition("\n")[0]) for path in folder.glob("0*.md")]

    listed = re.findall(
        r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| .+ \|$",
        (folder / "README.md").read_text(),
        re.MULTILINE,
    )

    assert [(name, f"# {number}. {title}") for number, title, name in listed] == sorted(titles)


def test_every_target_of_make_is_in_the_readme_or_on_the_page_of_the_tests() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs/TESTING.md").read_text()

    assert [name for name in sorted(targets() - {"help"}) if f"make {name}" not in text] == []


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert set(re.findall(r"^  make ([a-z0-9]+) +\S", listed, re.MULTILINE)) == targets()


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ([1], [1, 1]),
        ({"at": "2026-01-31T09:00:00Z"}, {"at": None}),
        ({"at": "2026-01-31T09:00:00Z"}, {"at": "soon"}),
        ({"latenessMs": 1.5}, {"latenessMs": None}),
        ("again in 5 s", "once more in 5 s"),
        ([A, A], [B, C]),
        (True, 1),
        ({"cursor": "MTox"}, {"cursor": None}),
    ],
)
def test_other_answer_is_told(shown: object, real: object) -> None:
    assert Names().learn(shown, real)


def test_name_keeps_its_meaning_also_in_requests() -> None:
    names = Names()

    assert names.learn({"id": A, "cursor": "MTox"}, {"id": B, "cursor": "OTk5"}) == []

    assert names.learn([A], [B]) == []
    assert names.learn([A], [C]) == [f"$[0]: {A} stands for {B}, not for {C}"]
    assert names.learn(f"no task {A} in 5 s", f"no task {B} in 60 s") == []
    assert names.learn(f"no task {A}", f"a task {B}")
    assert names.in_text(f'{{"id": "{A}", "after": "MTox"}}') == f'{{"id": "{B}", "after": "OTk5"}}'


@pytest.mark.parametrize(
    "command",
    [
        "make nothing",
        "rm -rf /",
        "scripts/nothing.sh",
        "python main.py nothing",
        "npm install left-pad",
        ".venv/bin/pytest tests/nothing",
        "docker compose -f nothing.yml up",
    ],
)
def test_command_that_names_what_is_not_there_is_told(command: str) -> None:
    [words] = commands(command)

    assert problem(words)


def test_commands_of_a_block_are_split() -> None:
    text = "A=1 make run && cd x\n# a comment\nsh a.sh \\\n  --b | cat"

    assert list(commands(text)) == [["make", "run"], ["cd", "x"], ["sh", "a.sh", "--b"], ["cat"]]
