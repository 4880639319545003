"""Real parts for the tests: PostgreSQL, a fake Discord, and the engine between them."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
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
from tests.acceptance.running import API_KEY, Service, running
from tests.databases import Databases
from tests.fake_discord import FakeDiscord

RUN_DEADLINE_SECONDS = 3600
NO_BUDGET = Budget(origins=(), rate=Rate(count=50, seconds=1))


def accounting(run_deadline_seconds: int = RUN_DEADLINE_SECONDS) -> Accounting:
    """Return what stores missed ticks, with the default limits."""
    return Accounting(fire_all_limit=100, run_deadline_seconds=run_deadline_seconds)


# An example may take as long as the machine stands still.
hypothesis.settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    database=None,
)
hypothesis.settings.load_profile("tests")


def pytest_configure() -> None:
    """End on SIGTERM as on SIGINT, with our servers; log without variables, a slow search."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    *before, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*before, plain])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `--dist loadgroup` see its groups: pytest 9.2 overlooks what pytest-xdist 3.8 sets."""
    for item in items:
        if with_group := vars(item).get("_nodeid"):
            item._id = type(item.id).parse(with_group)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on the loop that the service runs on."""

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = uvloop.new_event_loop()
        loop.set_exception_handler(_end_on_timeout)
        return loop

    return {"uvloop": new_loop}


def _end_on_timeout(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End a test that pytest-timeout fails while it awaits: uvloop hands that failure to us."""
    failure = context.get("exception")
    if not isinstance(failure, pytest.fail.Exception):
        loop.default_exception_handler(context)
        return
    for task in asyncio.all_tasks(loop):
        task.cancel(str(failure))


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
def databases(server_url: str) -> Iterator[Databases]:
    """The server's databases, one for each test."""
    databases = Databases(server_url)
    asyncio.run(databases.open())
    yield databases
    asyncio.run(databases.close())


@pytest.fixture(scope="session")
def template(databases: Databases) -> str:
    """A migrated, empty database, to clone others from."""
    return databases.template


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A clean database for one test."""
    url = await databases.take()
    yield url
    await databases.give_back(url)


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


@pytest.fixture
def settings(database_url: str, fake_discord: FakeDiscord, tmp_path: Path) -> dict[str, str]:
    """Settings of a development service on the test's own database."""
    return {
        "API_KEY": API_KEY,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "DISCORD_ORIGINS": fake_discord.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }


@pytest.fixture
async def real_service(settings: dict[str, str]) -> AsyncIterator[Service]:
    """The program with these settings, as `make run` starts it."""
    async with running(settings) as real_service:
        yield real_service
