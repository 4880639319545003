"""Real parts for the tests: PostgreSQL, a fake Discord, and the engine between them."""

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import uvloop
from cryptography.fernet import Fernet

from engine.cache import Cache
from engine.catch_up import Accounting
from engine.cipher import WebhookCipher
from engine.clock import sleepless
from engine.engine import Engine, EngineOptions
from engine.limits import Budget, Rate
from engine.service import TaskService
from engine.validation import TaskRules
from models.database import Database
from models.embedded import EmbeddedPostgres
from models.migrate import migrate
from models.orm import credentials
from tests.fake_discord import FakeDiscord

RUN_DEADLINE_SECONDS = 3600
NO_BUDGET = Budget(origins=(), rate=Rate(count=50, seconds=1))


def accounting(run_deadline_seconds: int = RUN_DEADLINE_SECONDS) -> Accounting:
    """Return what stores missed ticks, with the default limits."""
    return Accounting(fire_all_limit=100, run_deadline_seconds=run_deadline_seconds)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on the loop that the service runs on."""
    return {"uvloop": uvloop.new_event_loop}


def of_database(url: str, name: str) -> str:
    """Return the same server's URL for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(**credentials(url))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL server: the one in TEST_DATABASE_URL, else an embedded one of our own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="scheduler-test-") as folder:
        server = EmbeddedPostgres(Path(folder), durable=False)
        server.start()
        try:
            yield server.url("postgres")
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """A migrated, empty database, which each test's own is cloned from."""
    name = f"template_{uuid.uuid4().hex}"
    asyncio.run(_execute(server_url, f'create database "{name}"'))
    asyncio.run(migrate(of_database(server_url, name)))
    yield name
    asyncio.run(_execute(server_url, f'drop database "{name}" with (force)'))


@pytest.fixture
async def database_url(server_url: str, template: str) -> AsyncIterator[str]:
    """A clean database for one test."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(server_url, f'create database "{name}" template "{template}"')
    yield of_database(server_url, name)
    await _execute(server_url, f'drop database "{name}" with (force)')


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The clean database, connected."""
    database = await Database.connect(database_url)
    yield database
    await database.close()


@pytest.fixture
def cipher() -> WebhookCipher:
    """Encryption with a key of its own."""
    return WebhookCipher([Fernet.generate_key().decode()])


@pytest.fixture
async def fake_discord() -> AsyncIterator[FakeDiscord]:
    """A fake Discord over real HTTP, that enforces no limits unless told to."""
    async with FakeDiscord(webhook_limit=None, channel_limit=None) as fake:
        yield fake


StartEngine = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def start_engine(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> AsyncIterator[StartEngine]:
    """Start copies of the engine, which are stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(
            *,
            roles: frozenset[str] = frozenset({"scheduler", "worker"}),
            budget: Budget = NO_BUDGET,
            run_deadline_seconds: int = RUN_DEADLINE_SECONDS,
            origins: tuple[str, ...] | None = None,
            wall_clock: Callable[[], float] = time.time,
            elapsed: Callable[[], float] = sleepless,
            cache: Cache | None = None,
            keys: WebhookCipher | None = None,
            on_ready: Callable[[], None] = lambda: None,
        ) -> Engine:
            options = EngineOptions(
                roles=roles,
                origins=origins or (fake_discord.origin,),
                budget=budget,
                worker_concurrency=100,
                accounting=accounting(run_deadline_seconds),
                log_retention_days=30,
                shutdown_seconds=5.0,
            )
            engine = Engine(
                database,
                keys or cipher,
                options,
                cache=cache,
                wall_clock=wall_clock,
                elapsed=elapsed,
                on_ready=on_ready,
            )
            return await stack.enter_async_context(_running(engine))

        yield start


@asynccontextmanager
async def _running(engine: Engine) -> AsyncIterator[Engine]:
    await engine.start()
    try:
        await engine.reloaded()
        yield engine
    finally:
        await engine.stop()


@pytest.fixture
async def engine(start_engine: StartEngine) -> Engine:
    """One copy of the engine with every role."""
    return await start_engine()


def make_service(cipher: WebhookCipher, origin: str, engine: Engine | None = None) -> TaskService:
    """Return a service that knows the engine of its process, or none."""

    async def nothing(*_: object) -> None:
        return None

    return TaskService(
        cipher,
        TaskRules(origins=(origin,), min_interval_seconds=1),
        accounting=accounting(),
        applied=engine.applied if engine else nothing,
        reloaded=engine.reloaded if engine else nothing,
        queued=engine.queued if engine else lambda: None,
    )


@pytest.fixture
async def service(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> TaskService:
    """A service without an engine beside it."""
    return make_service(cipher, fake_discord.origin)
