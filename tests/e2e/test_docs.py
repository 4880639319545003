"""The pages' requests, programs and files, run as they stand there."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.running import API_KEY, Service, running
from tests.docs.blocks import ROOT, Block, blocks, pages, steps
from tests.docs.player import READ_KEY, Player, client_environment, local, run
from tests.docs.programs import file_name
from tests.fake_discord import FakeDiscord

pytestmark = pytest.mark.timeout(180)

CLIENTS = Path(__file__).with_name("clients")
BLOCKS = [block for page in pages() for block in blocks(page)]
PAGES = [page for page in pages() if steps(blocks(page))]


@pytest.fixture
async def service(fake_discord: FakeDiscord, tmp_path: Path) -> AsyncIterator[Service]:
    """A new service with two keys and the default limit of wrong ones."""
    settings = {
        "API_KEY": API_KEY,
        "API_KEYS": f"reader:{READ_KEY}:read",
        "DATA_DIR": str(tmp_path / "data"),
        "DISCORD_ORIGINS": fake_discord.origin,
        "FAILED_KEY_LIMIT": "10/minute",
    }
    async with running(settings) as service:
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of somebody's own, with Node's packages and the schema."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(ROOT / "schema/schema.graphql", folder)
    return folder


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("page", PAGES, ids=str)
async def test_requests_of_a_page_are_answered_as_it_shows(
    page: Path, service: Service, fake_discord: FakeDiscord
) -> None:
    player = Player(service=service, fake=fake_discord)

    for step in steps(blocks(page)):
        await player.play(step)


@pytest.mark.parametrize("block", of("js"), ids=str)
async def test_program_runs_to_its_end(
    block: Block, service: Service, fake_discord: FakeDiscord, folder: Path
) -> None:
    (folder / file_name(block)).write_text(local(block.text, service, fake_discord))

    status, output = await run(["node", file_name(block)], client_environment(service), cwd=folder)

    assert status == 0, output
    assert output, "a program shows what it got"


async def test_typescript_of_a_page_is_generated_and_fits_the_schema(folder: Path) -> None:
    for block in of("ts"):
        path = folder / file_name(block)
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
    programs = [file_name(block) for block in of("ts") if file_name(block) != "codegen.ts"]

    generated = await run(["node_modules/.bin/graphql-codegen"], {}, cwd=folder)
    options = ["--noEmit", "--strict", "--target", "es2022", "--moduleResolution", "bundler"]
    command = ["node_modules/.bin/tsc", *options, "--module", "esnext", "--skipLibCheck", *programs]

    assert generated[0] == 0, generated
    assert await run(command, {}, cwd=folder) == (0, "")


@pytest.mark.parametrize("block", of("yaml"), ids=str)
async def test_yaml_is_well_formed(block: Block) -> None:
    script = (
        "import { parse } from 'yaml';"
        "const value = parse(process.env.TEXT);"
        "if (value === null || typeof value !== 'object') throw new Error('holds nothing');"
    )

    status, output = await run(
        ["node", "--input-type=module", "-e", script], {"TEXT": block.text}, cwd=CLIENTS
    )

    assert status == 0, output
