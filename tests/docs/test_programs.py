"""The pages' Python programs, and what they say that a start prints."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.running import API_KEY, ROOT, STOP_SECONDS, Service, running
from tests.docs.blocks import Block, blocks, pages
from tests.docs.player import client_environment, local, run
from tests.docs.programs import file_name
from tests.fake_discord import FakeDiscord

BLOCKS = [block for page in pages() for block in blocks(page)]
DRAWN = re.compile("[►◄│┌└─]")
PRINTED = [one for one in BLOCKS if one.language == "text" and not DRAWN.search(one.text)]

# What starts a program, apart from what installs it.
PROGRAMS = {"make run": ["main.py", "serve"], "make sandbox": ["-m", "sandbox", "--data-dir"]}
# What differs from start to start: a made key, the folder, the ports.
VARIES = {"8J8c…": r"\S+", "data/": r"\S+/", "3005": r"\d+", "3006": r"\d+"}
START_SECONDS = 60.0


@pytest.fixture
async def service(fake_discord: FakeDiscord, tmp_path: Path) -> AsyncIterator[Service]:
    settings = {
        "API_KEY": API_KEY,
        "DATA_DIR": str(tmp_path / "data"),
        "DISCORD_ORIGINS": fake_discord.origin,
    }
    async with running(settings) as service:
        yield service


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language == "python"], ids=str)
async def test_program_runs_to_its_end(
    block: Block, service: Service, fake_discord: FakeDiscord, tmp_path: Path
) -> None:
    path = tmp_path / file_name(block)
    path.write_text(local(block.text, service, fake_discord))

    status, output = await run([sys.executable, str(path)], client_environment(service))

    assert status == 0, output
    assert output, "a program shows what it got"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("block", PRINTED, ids=str)
async def test_start_prints_what_the_page_says(block: Block, tmp_path: Path) -> None:
    before = [one for one in blocks(block.page) if one.language == "sh" and one.line < block.line]
    folder = tmp_path / "data" / "sandbox"
    command = PROGRAMS[before[-1].text]
    command = [*command, str(folder)] if command[-1] == "--data-dir" else command
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(folder),
            "PORT": "0",
            "SANDBOX_PORT": "0",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        await asyncio.wait_for(_read_until_printed(process, block.text), START_SECONDS)
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), STOP_SECONDS)


async def _read_until_printed(process: asyncio.subprocess.Process, text: str) -> None:
    """Read until each of the lines has come. Raises: AssertionError, with what came instead."""
    assert process.stdout is not None
    missing, printed = [*map(_pattern, text.splitlines())], ""
    while missing:
        line = (await process.stdout.readline()).decode()
        assert line, f"{missing} didn't come, but {printed}"
        printed += line
        missing = [pattern for pattern in missing if not re.fullmatch(pattern, line.strip())]


def _pattern(line: str) -> str:
    pattern = re.escape(line)
    for shown, real in VARIES.items():
        pattern = pattern.replace(re.escape(shown), real)
    return pattern


def test_pages_are_found() -> None:
    assert {Path("README.md"), Path("docs/API.md"), Path("docs/CLIENTS.md")} <= set(pages())
    assert PRINTED
