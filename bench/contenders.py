"""Those who send the burst, each in a process of its own, from a start before the tick to its end.

Each is a function that yields `Running` once everything is registered.
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from cryptography.fernet import Fernet

from bench.installed import NODE, PEERS, PYTHON
from bench.processes import child
from bench.server import Server
from bench.service import running
from bench.tasks import Plan, insert_tasks
from engine.cipher import WebhookCipher

DEADLINE_SECONDS = 90.0
# Seldom, since counting takes the database's CPU too.
POLL_SECONDS = 0.5
_OURS_FINISHED = "select count(*) from task_logs where finished_at is not null"
_PEERS_FINISHED = "select count(*) from runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run: so many tasks, all due at `tick` (epoch seconds), that post to `origin`."""

    server: Server
    origin: str
    tasks: int
    tick: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A contender that is ready; `finished` waits until all is sent and logged."""

    pid: int
    finished: Callable[[], Awaitable[int]]
    redis_pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Its name on the page, what it doesn't do, how long it prepares, and how it is run."""

    name: str
    lacks: str
    seconds: float
    tasks_per_second: float
    run: Callable[[Setting], AbstractAsyncContextManager[Running]]

    def lead_seconds(self, tasks: int) -> float:
        """Return how long before the tick it has to begin."""
        return self.seconds + tasks / self.tasks_per_second


async def _counted(server: Server, database: str, statement: str, tasks: int) -> int:
    """Return the number once it is as large, or when the deadline has passed."""
    latest = time.monotonic() + DEADLINE_SECONDS
    while True:
        found = await server.count(database, statement)
        if found >= tasks or time.monotonic() > latest:
            return found
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def ours(setting: Setting) -> AsyncIterator[Running]:
    """Run the real program, scheduler and worker, with the settings' defaults."""
    server, key = setting.server, Fernet.generate_key().decode()
    due = datetime.fromtimestamp(setting.tick, UTC)
    plan = Plan(schedule=f"{due:%S} * * * * *")
    async with server.migrated("burst_ours") as (name, database):
        plans = [plan] * setting.tasks
        await insert_tasks(database, WebhookCipher([key]), setting.origin, plans)
        async with running(server.url(name), setting.origin, key) as service:
            finished = partial(_counted, server, name, _OURS_FINISHED, setting.tasks)
            yield Running(pid=service.pid, finished=finished)


@asynccontextmanager
async def apscheduler(setting: Setting, *, loop: str) -> AsyncIterator[Running]:
    """Run APScheduler with a memory job store on one of the two loops."""
    async with setting.server.of_peers("burst_apscheduler") as name:
        command = [str(PYTHON), str(PEERS / "apscheduler_burst.py"), setting.origin]
        command += [str(setting.tasks), str(setting.tick), loop]
        async with _peer(setting, name, command) as started:
            yield started


@asynccontextmanager
async def nest(setting: Setting) -> AsyncIterator[Running]:
    """Run NestJS with one CronJob per task."""
    async with setting.server.of_peers("burst_nest") as name:
        command = ["node", "nest.mjs", setting.origin, str(setting.tasks), str(setting.tick)]
        async with _peer(setting, name, command) as started:
            yield started


@asynccontextmanager
async def bullmq(setting: Setting) -> AsyncIterator[Running]:
    """Run BullMQ, and a Redis of its own that syncs nothing to the disk."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    redis = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""]
    redis += ["--appendonly", "no", "--loglevel", "notice"]
    async with (
        child(redis) as (process, _),
        setting.server.of_peers("burst_bullmq") as name,
    ):
        await _accepts(int(port))
        command = ["node", "bullmq.mjs", setting.origin, str(setting.tasks), str(setting.tick)]
        async with _peer(setting, name, [*command, port], redis_pid=process.pid) as started:
            yield started


@asynccontextmanager
async def bare(setting: Setting) -> AsyncIterator[Running]:
    """Run the bare loop."""
    command = [sys.executable, "-m", "bench.bare", setting.origin, str(setting.tasks)]
    command += [str(setting.tasks), str(setting.tick)]
    async with child(command, says="ready") as (process, _):

        async def finished() -> int:
            assert process.stdout is not None
            await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
            return 0

        yield Running(pid=process.pid, finished=finished)


@asynccontextmanager
async def _peer(
    setting: Setting, database: str, command: list[str], *, redis_pid: int | None = None
) -> AsyncIterator[Running]:
    env = {**setting.server.environment(database), "NODE_ENV": "production"}
    async with child(command, env=env, folder=NODE, says="ready") as (process, _):
        finished = partial(_counted, setting.server, database, _PEERS_FINISHED, setting.tasks)
        yield Running(pid=process.pid, finished=finished, redis_pid=redis_pid)


async def _accepts(port: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(POLL_SECONDS)
                continue
            writer.close()
            return


_NOTHING = "stores nothing before it sends, and after a crash nothing is made up for; no limits, "
_NOTHING += "no encryption, no log lines; a tick of two copies is sent twice"
OURS = Contender(name="this service", lacks="", seconds=5, tasks_per_second=2_500, run=ours)
APSCHEDULER = Contender(
    name="APScheduler 3.11, aiohttp, asyncpg",
    lacks=_NOTHING,
    seconds=3,
    tasks_per_second=2_000,
    run=partial(apscheduler, loop="asyncio"),
)
APSCHEDULER_UVLOOP = Contender(
    name="the same on uvloop",
    lacks="as above",
    seconds=3,
    tasks_per_second=2_000,
    run=partial(apscheduler, loop="uvloop"),
)
NEST = Contender(
    name="NestJS schedule 12, axios, Prisma 7",
    lacks="as APScheduler",
    seconds=4,
    tasks_per_second=2_000,
    run=nest,
)
BULLMQ = Contender(
    name="BullMQ 6 on Redis, axios, pg",
    lacks="jobs are in Redis' memory before they are sent, and lost with it; no limits by webhook, "
    "no encryption, no log lines",
    seconds=5,
    tasks_per_second=2_000,
    run=bullmq,
)
BARE = Contender(
    name="bare aiohttp loop, 64 connections, uvloop",
    lacks="schedules, stores and logs nothing",
    seconds=2,
    tasks_per_second=100_000,
    run=bare,
)
