"""What import-linter and ruff can't say about this repository."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.check_repo import findings

PACKAGES = {"web", "schema", "engine", "models"}
# Above the packages, and beside main: nothing but tests imports it.
TOP_PACKAGE = "sandbox"
TOP_FILES = {"main", "settings", "setting_types"}
TOOLS = {"bench", "scripts", "tests"}
SOURCES = sorted(
    path
    for root in (*PACKAGES, TOP_PACKAGE, *TOP_FILES, "bench", "scripts")
    for path in ([Path(f"{root}.py")] if root in TOP_FILES else Path(root).rglob("*.py"))
)
# main's place at the top, and the settings' as a leaf: import-linter knows packages only.
SETTINGS = {"settings", "setting_types"}
MAY_IMPORT = {
    Path("main.py"): PACKAGES | SETTINGS,
    Path("settings.py"): {"setting_types"},
    Path("setting_types.py"): set(),
}
TEXT = "number = 1\n"


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the top names of what is imported anywhere in the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def late_imports(tree: ast.Module) -> list[int]:
    """Return the lines of imports inside functions."""
    functions = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return sorted(
        {
            node.lineno
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
    )


def test_modules_import_at_the_top_only() -> None:
    late = {path: late_imports(ast.parse(path.read_text())) for path in SOURCES}

    assert {path: lines for path, lines in late.items() if lines} == {}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parts[0] not in TOOLS], ids=str)
def test_imports_point_from_main_over_the_packages_to_the_settings(path: Path) -> None:
    ours = PACKAGES | TOP_FILES | TOOLS | {TOP_PACKAGE}
    itself = {TOP_PACKAGE} & {path.parts[0]}
    may = MAY_IMPORT.get(path, PACKAGES | SETTINGS | itself)

    assert set(imports(ast.parse(path.read_text()))) & ours <= may


def test_late_imports_are_found_wherever_they_hide() -> None:
    source = (
        "import a\nasync def f():\n    def g():\n        from b import c\nclass D:\n    import d\n"
    )

    assert late_imports(ast.parse(source)) == [4]
    assert set(imports(ast.parse(source))) == {"a", "b", "d"}


def test_modules_are_named_for_what_they_do() -> None:
    vague = {"base", "common", "helpers", "misc", "util", "utils"}

    assert [path for path in SOURCES if path.stem in vague] == []


def test_every_test_is_run_by_make_test_or_make_e2e(pytestconfig: pytest.Config) -> None:
    collected = [*pytestconfig.getini("testpaths"), "tests/e2e"]
    tests = [path for path in Path("tests").rglob("test_*.py") if "node_modules" not in path.parts]

    assert [path for path in tests if not any(path.is_relative_to(one) for one in collected)] == []


@pytest.mark.parametrize(
    ("path", "text", "sentence"),
    [
        ("uv.lock", "", "holds addresses"),
        ("web/graphiql/package-lock.json", "", "holds addresses"),
        ("deploy/Dockerfile", "RUN pip install -i https://pypi" + ".org/simple x", "registry"),
        ("requirements.txt", "a @ file:///home/somebody/a.whl", "neither a pinned version"),
        ("requirements-dev.txt", "--find-links /opt/wheels", "neither a pinned version"),
        ("requirements.txt", "a>=1", "neither a pinned version"),
        ("engine/cron.py", TEXT * 301, "more than 300 lines"),
        ("tests/unit/test_cron.py", TEXT * 501, "more than 500 lines"),
        ("engine/cron.py", "x = 1  # no" + "qa: E501", "without a reason"),
        ("engine/cron.py", "x = 1  # no" + "qa", "without a reason"),
        ("engine/cron.py", "x = 1  # type" + ": ignore[misc]", "without a reason"),
        ("engine/cron.py", "x = 1  # pragma" + ": no cover", "without a reason"),
    ],
)
def test_what_breaks_a_rule_is_found(path: str, text: str, sentence: str) -> None:
    [finding] = findings(Path(path), text)

    assert finding.startswith(f"{path}:")
    assert sentence in finding


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "requirements.txt",
            f"a-b==1.2 ; sys_platform == 'win32' \\\n    --hash=sha256:{'a' * 64}\n",
        ),
        ("engine/cron.py", TEXT * 300),
        ("tests/unit/test_cron.py", TEXT * 500),
        ("migrations/models/0_init.py", TEXT * 900),
        ("engine/cron.py", "x = 1  # no" + "qa: S108, E501 - the server checks it"),
        ("engine/cron.py", "x = 1  # type" + ": ignore[misc] # the library has no types"),
        ("README.md", "https://pypi" + ".org/project/uv"),
    ],
)
def test_what_keeps_the_rules_is_not_found(path: str, text: str) -> None:
    assert list(findings(Path(path), text)) == []
