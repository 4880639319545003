"""100,000 ACTIVE tasks: how soon they are ready, what they weigh, and what waits meanwhile."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from cryptography.fernet import Fernet

from bench.installed import FOLDER, PEERS, PYTHON, install_python
from bench.mutations import mutating
from bench.processes import child, cpu_seconds, memory_mib
from bench.scenario import Bench, median, quantile, table, tell
from bench.server import Server
from bench.service import ready, starting
from bench.tasks import Plan, insert_tasks
from engine.cipher import WebhookCipher

TASKS = 100_000
DIFFERENT = 2_000
ORIGIN = "https://discord.com"
ROLES = "api,scheduler,worker"
# More than two reconciles.
IDLE_SECONDS = 65
SETTLE_SECONDS = 3
MUTATIONS_AFTER = 200
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe")
_BYTES_PER_MIB = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start: seconds until it was ready, MiB then, and what mutations took meanwhile."""

    ready_seconds: float
    listening_seconds: float
    memory_mib: float
    mutations_ms: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A while without ticks: shares of a core, in %, memory after it, and later mutations."""

    cpu_percent: float
    postgres_cpu_percent: float
    memory_mib: float
    mutations_ms: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Stock aiocron with as many jobs."""

    start_seconds: float
    bytes_per_job: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """One start with nearly as many schedules as tasks."""

    different: int
    start: Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """All that is measured; `empty` are starts without a task."""

    tasks: int
    empty: Sequence[Start]
    starts: Sequence[Start]
    idle: Idle
    varied: Varied
    aiocron: Sequence[Jobs]


async def scale(bench: Bench) -> None:
    """Start with no tasks and with all, several times; then be idle; then aiocron."""
    tasks, runs = bench.size(TASKS, 2_000), bench.size(bench.runs, 1)
    key = Fernet.generate_key().decode()
    async with bench.server.migrated("scale_empty") as (name, _):
        empty = [await _start(bench.server.url(name), key) for _ in range(min(runs, 3))]
    async with bench.server.migrated("scale") as (name, database):
        await insert_tasks(database, WebhookCipher([key]), ORIGIN, mixed_plans(tasks, DIFFERENT))
        starts = []
        for number in range(runs):
            starts.append(await _start(bench.server.url(name), key))
            seconds = starts[-1].ready_seconds
            tell(f"scale start {number + 1}: {seconds:.1f} s, {starts[-1].memory_mib:.0f} MiB")
        idle = await _idle(bench.server, name, key, bench.size(IDLE_SECONDS, 5))
        tell(f"scale idle: {idle.cpu_percent:.1f} %")
    async with bench.server.migrated("scale_different") as (name, database):
        plans = mixed_plans(tasks, tasks)
        await insert_tasks(database, WebhookCipher([key]), ORIGIN, plans)
        varied = Varied(different=len(set(plans)), start=await _start(bench.server.url(name), key))
    install_python()
    jobs = [await _aiocron(tasks) for _ in range(min(runs, 3))]
    figures = Scale(tasks=tasks, empty=empty, starts=starts, idle=idle, varied=varied, aiocron=jobs)
    bench.write("scale", figures, section(figures))


def mixed_plans(tasks: int, different: int) -> list[Plan]:
    """Return schedules of several kinds and zones, none of which ticks while this is measured.

    At most so many are different; people like the same times.
    """
    chance, now = random.Random(1), time.gmtime()
    months = [month for month in range(1, 13) if (month - now.tm_mon) % 12 in range(2, 11)]
    made = [
        Plan(schedule=_mixed(chance, months), zone=chance.choice(ZONES)) for _ in range(different)
    ]
    return [made[number % different] for number in range(tasks)]


def _mixed(chance: random.Random, months: Sequence[int]) -> str:
    month, hour, minute = chance.choice(months), chance.randrange(24), chance.randrange(0, 60, 5)
    kinds = (
        f"{minute} {hour} {chance.randrange(1, 28)} {month} *",
        f"{minute} {hour} * {month} {chance.randrange(7)}",
        f"*/{chance.choice((5, 10, 15, 30))} {hour % 12}-{hour % 12 + 8} * {month} 1-5",
        f"{chance.randrange(60)} {minute} * * {month} *",
    )
    return chance.choice(kinds)


async def _start(database_url: str, key: str) -> Start:
    """Start the whole program, and change tasks from when it listens until it is ready."""
    async with starting(database_url, ORIGIN, key, roles=ROLES) as service:
        listening_seconds = await ready(service, "/health/live")
        waiting = asyncio.create_task(ready(service))
        mutations = []
        async for taken_ms in mutating(service, ORIGIN):
            mutations.append(taken_ms)
            if waiting.done():
                break
        return Start(
            ready_seconds=await waiting,
            listening_seconds=listening_seconds,
            memory_mib=memory_mib(service.pid),
            mutations_ms=mutations,
        )


async def _idle(server: Server, name: str, key: str, seconds: float) -> Idle:
    async with starting(server.url(name), ORIGIN, key, roles=ROLES) as service:
        await ready(service)
        await asyncio.sleep(SETTLE_SECONDS)
        before, began = (cpu_seconds(service.pid), server.cpu_seconds()), time.monotonic()
        await asyncio.sleep(seconds)
        taken = time.monotonic() - began
        after = cpu_seconds(service.pid), server.cpu_seconds()
        memory = memory_mib(service.pid)
        mutations: list[float] = []
        async for taken_ms in mutating(service, ORIGIN):
            mutations.append(taken_ms)
            if len(mutations) >= MUTATIONS_AFTER:
                break
    return Idle(
        cpu_percent=(after[0] - before[0]) / taken * 100,
        postgres_cpu_percent=(after[1] - before[1]) / taken * 100,
        memory_mib=memory,
        mutations_ms=mutations,
    )


async def _aiocron(tasks: int) -> Jobs:
    plans = orjson.dumps(
        [(plan.schedule, plan.zone) for plan in mixed_plans(tasks, DIFFERENT)]
    ).decode()
    given = FOLDER / "plans.json"
    given.write_text(plans)
    command = [str(PYTHON), str(PEERS / "aiocron_load.py"), str(given)]
    async with child(command, says="{") as (_, line):
        return Jobs(**orjson.loads(line))


def section(figures: Scale) -> str:
    """Return the section for the page."""
    tasks, starts, idle = figures.tasks, figures.starts, figures.idle
    varied = figures.varied
    base_seconds = median(start.ready_seconds for start in figures.empty)
    base_mib = median(start.memory_mib for start in figures.empty)
    seconds = median(start.ready_seconds for start in starts)
    weights = [
        (memory - base_mib) * _BYTES_PER_MIB / tasks
        for memory in (median(start.memory_mib for start in starts), idle.memory_mib)
    ]
    loading = [one for start in starts for one in start.mutations_ms]
    aiocron_seconds = median(one.start_seconds for one in figures.aiocron)
    aiocron_bytes = median(one.bytes_per_job for one in figures.aiocron)
    rows = [
        ["ready, s after the process' start", f"{seconds:.1f}", ""],
        ["of it without any task", f"{base_seconds:.1f}", ""],
        ["jobs registered, s", f"{seconds - base_seconds:.1f}", f"{aiocron_seconds:.1f}"],
        [
            f"the same with {varied.different:,} different schedules, s",
            f"{varied.start.ready_seconds - base_seconds:.1f}",
            "",
        ],
        ["memory of each when ready, bytes", f"{weights[0]:.0f}", f"{aiocron_bytes:.0f}"],
        ["memory of each after a minute, bytes", f"{weights[1]:.0f}", ""],
        [f"{len(loading)} mutations meanwhile, p50, ms", f"{quantile(loading, 0.5):.0f}", ""],
        ["the same, p99, ms", f"{quantile(loading, 0.99):.0f}", ""],
        [
            f"{len(idle.mutations_ms)} mutations after, p99, ms",
            f"{quantile(idle.mutations_ms, 0.99):.0f}",
            "",
        ],
        ["idle, % of a core", f"{idle.cpu_percent:.2f}", ""],
        ["PostgreSQL meanwhile, % of a core", f"{idle.postgres_cpu_percent:.2f}", ""],
    ]
    return f"""## Scale: {tasks:,} ACTIVE tasks with mixed schedules and zones

The schedules are of four kinds in {len(ZONES)} zones; {DIFFERENT:,} of them are different. The
whole program, medians of {len(starts)} starts; memory is what it has more than with no task.
Mutations are createTask and updateTask over HTTP, one after another, from the moment it listens.
It is idle for {IDLE_SECONDS} s, in which it reconciles twice, and no task ticks. Beside it is stock
aiocron with the same schedules, which has no database, no API and no reconcile.

{table(["", "this service", "aiocron 2.1"], rows)}
"""
