"""Write the API's SDL, or check it: `python -m schema.export [--check] [--compare PATH]`."""

import argparse
import difflib
import sys
from pathlib import Path

from graphql import build_schema as parse_sdl

from schema.comparison import differences
from schema.schema import build_schema

SDL_FILE = Path(__file__).with_name("schema.graphql")


def sdl() -> str:
    """Return the SDL of the code, with a newline at its end."""
    return f"{build_schema().as_str()}\n"


def drift(file: Path = SDL_FILE) -> str:
    """Return the diff between the file and the code; nothing when they agree."""
    written = file.read_text("utf-8") if file.exists() else ""
    lines = difflib.unified_diff(
        written.splitlines(keepends=True), sdl().splitlines(keepends=True), file.name, "the code"
    )
    return "".join(lines)


def missing(promise: Path) -> list[str]:
    """Return what the promised API has and the code has not, or has otherwise."""
    return differences(parse_sdl(promise.read_text("utf-8")), parse_sdl(sdl()))


def main() -> int:
    """Run the command line and return the exit status: 1 when something differs."""
    parser = argparse.ArgumentParser(description="Write the SDL of the API to schema.graphql.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when the file is not up to date"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="PATH", help="fail when something of this SDL is missing"
    )
    options = parser.parse_args()
    problems = ""
    if options.check:
        problems += drift()
    if options.compare:
        problems += "".join(f"{line}\n" for line in missing(options.compare))
    if not options.check and not options.compare:
        SDL_FILE.write_text(sdl(), "utf-8")
    sys.stderr.write(problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
