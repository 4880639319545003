"""The pages' Python programs, and what they say that the service prints."""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.running import API_KEY, Service, running
from tests.docs.blocks import ROOT, Block, blocks, pages
from tests.docs.player import client_environment, local, run
from tests.docs.programs import file_name
from tests.fake_discord import FakeDiscord

BLOCKS = [block for page in pages() for block in blocks(page)]
DRAWN = re.compile("[►◄│┌└─]")
# What differs from start to start: the made key, the folder and the port.
VARIES = {"8J8c…": r"\S+", "data/": r"\S+/", "3005": r"\d+"}


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


async def test_first_start_prints_what_the_pages_say(tmp_path: Path) -> None:
    texts = [one.text for one in BLOCKS if one.language == "text" and not DRAWN.search(one.text)]
    lines = [line for text in texts for line in text.splitlines()]
    assert lines

    async with running({"DATA_DIR": str(tmp_path / "data")}) as service:
        printed = service.text

    assert [line for line in lines if not re.search(_pattern(line), printed)] == []


def _pattern(line: str) -> str:
    pattern = re.escape(line)
    for shown, real in VARIES.items():
        pattern = pattern.replace(re.escape(shown), real)
    return f"(?m)^{pattern}$"


def test_pages_are_found() -> None:
    assert {Path("README.md"), Path("docs/API.md"), Path("docs/CLIENTS.md")} <= set(pages())
    assert ROOT.joinpath("README.md").is_file()
