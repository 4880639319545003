"""The running engine: the parts that this process' roles ask for, started and stopped in order."""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from engine.cache import Cache
from engine.catch_up import Accounting
from engine.cipher import WebhookCipher
from engine.client import DiscordClient
from engine.clock import DatabaseClock, sleepless
from engine.delivery import Delivery
from engine.feed import FEED_CHANNEL
from engine.feed_reader import FeedReader
from engine.health import PartHealth
from engine.instance import TASKS_CHANNEL, WORK_CHANNEL, Instance
from engine.limits import Budget
from engine.live_feed import LiveFeed
from engine.log_counts import LogFold
from engine.parts import keep_running
from engine.retention import Retention
from engine.scheduler import Scheduler
from engine.stored_urls import StoredUrls
from engine.worker import Worker
from models.database import Database
from models.errors import DatabaseUnavailable

CLOCK_WARNING_SECONDS = 2.0
# Ticks may be late by less than this until their timers have run out.
STEP_SECONDS = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine needs of the settings; `roles` as for the process, durations in seconds."""

    roles: frozenset[str]
    origins: tuple[str, ...]
    budget: Budget
    worker_concurrency: int
    accounting: Accounting
    log_retention_days: int
    shutdown_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """What the engine of this process is doing; `queued` is of all copies."""

    instance_id: str
    scheduled_jobs: int
    queued: int
    in_flight: int
    last_tick_at: datetime | None
    started_at: datetime


class Engine:
    """Scheduler and worker of this process, around one heartbeat."""

    def __init__(
        self,
        database: Database,
        cipher: WebhookCipher,
        options: EngineOptions,
        *,
        cache: Cache | None = None,
        revive: Callable[[], Awaitable[None]] | None = None,
        on_ready: Callable[[], None] = lambda: None,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        elapsed: Callable[[], float] = sleepless,
    ) -> None:
        self.cache = cache or Cache()
        self._database = database
        self._options = options
        self._on_ready = on_ready
        self._wall_clock = wall_clock
        self._clock = DatabaseClock(monotonic)
        self._client = DiscordClient()
        self._urls = StoredUrls(cipher, elapsed=elapsed)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._scheduler = Scheduler(
            database,
            self._clock,
            accounting=options.accounting,
            on_queued=self.queued,
            on_ready=on_ready,
        )
        self._instance = Instance(
            database,
            self._clock,
            roles=",".join(sorted(options.roles)),
            listeners=dict(self._listeners()),
            on_connect=self._connected,
            on_lost=lambda: self.cache.listens(False),
            on_step=self._stepped,
            revive=revive,
            monotonic=monotonic,
            elapsed=elapsed,
        )
        self._worker = Worker(
            database,
            self._instance,
            Delivery(self._client, self._urls, origins=options.origins, clock=self._clock.time),
            urls=self._urls,
            concurrency=options.worker_concurrency,
            budget=options.budget,
            accounting=options.accounting,
            elapsed=elapsed,
        )
        self._retention = Retention(database, log_retention_days=options.log_retention_days)
        self.live_feed = LiveFeed(FeedReader(database))

    @property
    def schedules(self) -> bool:
        """Whether this process ticks."""
        return "scheduler" in self._options.roles

    @property
    def serves(self) -> bool:
        """Whether this process has the API."""
        return "api" in self._options.roles

    @property
    def works(self) -> bool:
        """Whether this process sends."""
        return "worker" in self._options.roles

    def time(self) -> float:
        """Return the database's time in seconds since 1970; once started."""
        return self._clock.time()

    async def start(self) -> None:
        """Join the other copies and begin.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        await self._client.open()
        await self.cache.open()
        try:
            await self._instance.connect()
        except DatabaseUnavailable:
            await self._client.close()
            await self.cache.close()
            raise
        self._spawn("heartbeat", self._instance.run)
        if self.schedules:
            self._spawn("ticks", self._scheduler.buffer.run)
            self._spawn("scheduler", self._scheduler.run)
        if self.works:
            self._spawn("record", self._worker.record_loop)
            self._spawn("claim", self._worker.claim_loop)
            self._spawn("takeover", self._worker.takeover_loop)
            self._spawn("retention", self._retention.run)
            self._spawn("log_fold", LogFold(self._database).run)
        if self.serves:
            self._spawn("live_feed", self.live_feed.run)
        if not self.schedules:  # else once all tasks are loaded
            self._on_ready()
        log.info(
            "engine_started", instance_id=str(self._instance.id), roles=sorted(self._options.roles)
        )

    async def stop(self) -> None:
        """Stop ticking and claiming, finish what is open, give back the rest."""
        await self._cancel("scheduler", "ticks", "takeover", "retention", "log_fold", "live_feed")
        if "record" in self._tasks:
            await self._worker.drain(self._options.shutdown_seconds)
        await self._cancel("claim", "record", "heartbeat")
        self.cache.listens(False)
        await self._instance.leave()
        await self.cache.close()
        await self._client.close()

    async def applied(self, task_id: UUID) -> None:
        """Return once this process' engine knows of the task's change, and the cache forgot."""
        await self.cache.drop_everywhere()
        if "scheduler" in self._tasks and self._instance.is_connected:
            await self._scheduler.apply(task_id)

    async def reloaded(self) -> None:
        """Return once this process' engine has compared all its jobs with the database."""
        await self.cache.drop_everywhere()
        if "scheduler" in self._tasks and self._instance.is_connected:
            await self._scheduler.reconcile()

    def queued(self) -> None:
        """Tell the worker of this process that there is work."""
        self._worker.wake()

    async def status(self) -> EngineStatus:
        """Return what the engine is doing.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        (row,) = await self._database.read("select count(*) from task_logs where status = 'QUEUED'")
        if self._instance.started_at is None:
            raise DatabaseUnavailable("the engine has not joined the database yet")
        return EngineStatus(
            instance_id=str(self._instance.id),
            scheduled_jobs=self._scheduler.job_count,
            queued=row[0],
            in_flight=self._worker.in_flight,
            last_tick_at=self._scheduler.buffer.last_tick_at,
            started_at=self._instance.started_at,
        )

    async def health(self) -> dict[str, PartHealth]:
        """Return how each part is, without waiting for a database that is gone."""
        connected = self._instance.is_connected and self._instance.is_fresh()
        return {
            "database": PartHealth(state="ok", detail="connected")
            if connected
            else PartHealth(state="down", detail="no heartbeat; reconnecting"),
            "scheduler": self._scheduler_health(connected),
            "worker": self._worker_health(connected),
            "redis": await self.cache.health(),
            "clock": self._clock_health(),
        }

    def _scheduler_health(self, connected: bool) -> PartHealth:
        if not self.schedules:
            return PartHealth(state="off", detail="not a role of this process")
        if not connected or not self._scheduler.is_ready:
            reason = "loading the tasks" if connected else "waits for the database"
            return PartHealth(state="down", detail=reason)
        return PartHealth(state="ok", detail=f"{self._scheduler.job_count} jobs")

    def _worker_health(self, connected: bool) -> PartHealth:
        if not self.works:
            return PartHealth(state="off", detail="not a role of this process")
        if not connected:
            return PartHealth(state="down", detail="waits for the database")
        if self._urls.unreadable is not None:
            # Not down: it does all other work, and perhaps no copy can read this one.
            detail = f"ENCRYPTION_KEYS can't read the webhook URL of task {self._urls.unreadable}"
            return PartHealth(state="degraded", detail=detail)
        return PartHealth(state="ok", detail=f"{self._worker.in_flight} attempts in flight")

    def _clock_health(self) -> PartHealth:
        if self._instance.started_at is None:
            return PartHealth(state="down", detail="the database's was not read yet")
        difference = self._wall_clock() - self._clock.time()
        if abs(difference) > CLOCK_WARNING_SECONDS:
            ahead = "ahead of" if difference > 0 else "behind"
            detail = f"this machine's clock is {abs(difference):.1f} s {ahead} the database's"
            return PartHealth(state="degraded", detail=detail)
        return PartHealth(state="ok", detail="agrees with the database's")

    def _listeners(self) -> Iterator[tuple[str, Callable[[str], None]]]:
        yield TASKS_CHANNEL, self._task_changed
        if self.works:
            yield WORK_CHANNEL, lambda _: self.queued()
        if self.serves:
            yield FEED_CHANNEL, lambda _: self.live_feed.wake()

    def _task_changed(self, notice: str) -> None:
        self.cache.drop()
        if self.schedules:
            self._scheduler.hear(notice)

    def _connected(self) -> None:
        self.cache.listens(True)
        self._scheduler.reconcile_soon()
        self._worker.wake()
        self.live_feed.wake()

    def _stepped(self, seconds: float) -> None:
        if abs(seconds) > STEP_SECONDS:
            log.warning("database_clock_stepped", seconds=round(seconds, 3))
            self._scheduler.reanchor(seconds)

    def _spawn(self, name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
        # A clean context: started during a request, a part would keep that request's transaction.
        part = keep_running(name, run)
        self._tasks[name] = asyncio.create_task(part, name=name, context=contextvars.Context())

    async def _cancel(self, *names: str) -> None:
        tasks = [self._tasks.pop(name) for name in names if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
