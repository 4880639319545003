"""What is broken: copies of the real program, one PostgreSQL, and a fake Discord that records."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import orjson
from cryptography.fernet import Fernet

from models.embedded import EmbeddedPostgres
from models.migrate import migrate
from models.orm import credentials
from models.postgres_programs import run
from sandbox.discord_rules import Limit
from tests.acceptance.running import API_KEY, Service, running
from tests.chaos.observer import install
from tests.fake_discord import FakeDiscord

# Long enough that faults meet open sends: at 30 ms, none of 38 did.
LATENCY_SECONDS = 0.25
GLOBAL_LIMIT = Limit(sends=50, seconds=1.0)
START_TRIES = 5
# A copy that stood still for less has not been called dead: its last heartbeat was at most 2 s old,
# and the lease is 6 s; the rest is for a busy machine.
LONG_STOP_SECONDS = 3.5
# With the database there and nothing to send, only a connection that leaked holds up the end.
END_SECONDS = 10.0

_TERMINATE = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where pid <> pg_backend_pid() and backend_type = 'client backend'
"""


@dataclass(slots=True, eq=False)
class Copy:
    """One place for a process; `is_busy` while a fault is at work on it."""

    number: int
    settings: dict[str, str]
    service: Service | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    is_busy: bool = False


class Cluster:
    """The parts and the ways to break them; counts what was done in `counts`."""

    def __init__(self, copies: list[Copy], postgres: EmbeddedPostgres, fake: FakeDiscord) -> None:
        self.copies = copies
        self.fake = fake
        self.url = postgres.url()
        self.counts: Counter[str] = Counter()
        # By the ids that the engines gave themselves.
        self.killed: set[str] = set()
        self.stopped_long: set[str] = set()
        self.unclean: list[str] = []
        self.is_database_busy = False
        self._postgres = postgres
        self._ended: list[tuple[str, str]] = []

    @property
    def idle(self) -> list[Copy]:
        """The copies that run, and that no fault is at work on."""
        return [copy for copy in self.copies if copy.service is not None and not copy.is_busy]

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """What each process has printed, with its name."""
        living = [
            (_name(copy, copy.service), copy.service.text) for copy in self.copies if copy.service
        ]
        return [*self._ended, *living]

    async def start(self, copy: Copy) -> None:
        """Start a copy, again if it gave up because the database was away just then."""
        for left in reversed(range(START_TRIES)):
            try:
                copy.service = await copy.stack.enter_async_context(running(copy.settings))
            except AssertionError as error:
                self._ended.append((f"copy {copy.number}, not started", str(error)))
                self.counts["starts refused"] += 1
                if not left:
                    raise
            else:
                self.counts["starts"] += 1
                return

    async def kill(self, copy: Copy) -> None:
        """End a copy with SIGKILL."""
        service = _running(copy)
        self.killed.add(instance_id(service))
        await service.stop(signal.SIGKILL)
        await self._gone(copy, service)

    async def terminate(self, copy: Copy) -> None:
        """End a copy with SIGTERM, which must end it with 0."""
        service = _running(copy)
        status = await service.stop(signal.SIGTERM)
        if status != 0:
            self.unclean.append(f"{_name(copy, service)} ended with {status} after SIGTERM")
        await self._gone(copy, service)

    async def terminate_all(self) -> None:
        """End every copy with SIGTERM, when nothing is left to do: they must not take long."""
        names = [_name(copy, copy.service) for copy in self.idle if copy.service]
        seconds = await asyncio.gather(*(self._timed_end(copy) for copy in self.idle))
        for name, took in zip(names, seconds, strict=True):
            if took > END_SECONDS:
                self.unclean.append(f"{name} took {took:.1f} s to end with nothing to do")

    async def _timed_end(self, copy: Copy) -> float:
        began = time.monotonic()
        await self.terminate(copy)
        return time.monotonic() - began

    async def freeze(self, copy: Copy, seconds: float) -> None:
        """Stop a copy with SIGSTOP and let it go on with SIGCONT."""
        service = _running(copy)
        began = time.monotonic()
        service.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            if time.monotonic() - began > LONG_STOP_SECONDS:
                self.stopped_long.add(instance_id(service))
            service.process.send_signal(signal.SIGCONT)

    async def restart_database(self, mode: str) -> None:
        """Restart PostgreSQL; `mode` is pg_ctl's: fast, or immediate, which leaves a recovery."""
        cluster = self._postgres._cluster
        await asyncio.to_thread(run, "pg_ctl", "stop", "-w", "-m", mode, folder=cluster)
        await asyncio.to_thread(self._postgres.ensure_running)

    async def cut_connections(self) -> None:
        """Terminate every connection to PostgreSQL."""
        connection = await asyncpg.connect(**credentials(self.url))
        try:
            self.counts["connections cut"] += await connection.fetchval(_TERMINATE)
        finally:
            await connection.close()

    async def _gone(self, copy: Copy, service: Service) -> None:
        copy.service = None
        await copy.stack.aclose()
        self._ended.append((_name(copy, service), service.text))


@asynccontextmanager
async def cluster(
    folder: Path, *, copies: int, unbudgeted: Sequence[str] = ()
) -> AsyncIterator[Cluster]:
    """Start PostgreSQL in `folder`, a fake Discord and the copies; end them all afterwards.

    The copies may also send to the `unbudgeted` origins, for which GLOBAL_RATE doesn't hold.
    """
    postgres = EmbeddedPostgres(folder / "db", durable=True)
    url = await asyncio.to_thread(postgres.start)
    fake = FakeDiscord(latency_seconds=LATENCY_SECONDS, global_limit=GLOBAL_LIMIT)
    try:
        await migrate(url)
        await install(url)
        async with fake, AsyncExitStack() as stack:
            settings = _settings(url, fake, unbudgeted)
            places = [
                Copy(number, settings | {"DATA_DIR": str(folder / f"copy{number}")})
                for number in range(1, copies + 1)
            ]
            for place in places:
                stack.push_async_callback(place.stack.aclose)
            made = Cluster(places, postgres, fake)
            await asyncio.gather(*(made.start(place) for place in places))
            yield made
    finally:
        await asyncio.to_thread(postgres.stop)


def instance_id(service: Service) -> str:
    """Return the id that the engine of this process gave itself."""
    for line in service.output:
        if '"event":"engine_started"' in line:
            return str(orjson.loads(line)["instance_id"])
    raise AssertionError(f"no engine_started in:\n{service.text}")


def _settings(url: str, fake: FakeDiscord, unbudgeted: Sequence[str]) -> dict[str, str]:
    return {
        "API_KEY": API_KEY,
        "DATABASE_URL": url,
        "DISCORD_ORIGINS": ",".join([fake.origin, *unbudgeted]),
        "GLOBAL_RATE_ORIGINS": fake.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }


def _running(copy: Copy) -> Service:
    assert copy.service is not None
    return copy.service


def _name(copy: Copy, service: Service) -> str:
    return f"copy {copy.number} (pid {service.process.pid})"
