"""Print every setting, as .env.example or as the README's table.

Usage: python -m scripts.describe_settings [env|table]
"""

import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from settings import Role, Settings

# These depend on who runs the service, or on another setting.
DEFAULTS = {"DATA_DIR": "./data", "LOG_FORMAT": "console"}


def default_text(field: FieldInfo) -> str:
    """Return the default of a setting as one would write it in .env; nothing for none."""
    match field.default:
        case _ if field.alias in DEFAULTS:
            return DEFAULTS[field.alias]
        case None:
            return ""
        case bool(flag):
            return "on" if flag else "off"
        case frozenset():
            return ",".join(Role)
        case tuple(items):
            return ",".join(str(item) for item in items)
        case other:
            return str(other)


def env_example() -> str:
    """Return the text of .env.example."""
    return "\n".join(_example_lines()) + "\n"


def table() -> str:
    """Return a Markdown table: variable, default, meaning."""
    rows = [
        f"| `{field.alias}` | {_code(default_text(field))} | {field.description} |"
        for field in Settings.model_fields.values()
    ]
    return "\n".join(["| Variable | Default | Meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _example_lines() -> Iterator[str]:
    yield "# Copy this file to .env and uncomment what differs: these are the defaults."
    yield "# A variable of the environment wins over this file."
    for field in Settings.model_fields.values():
        yield f"\n# {field.description}"
        yield f"#{field.alias}={default_text(field)}"


if __name__ == "__main__":
    sys.stdout.write(table() if sys.argv[1:] == ["table"] else env_example())
