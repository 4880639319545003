"""Steady load: thousands of webhooks, and more to send than one process can."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet

from bench.backlog import queue
from bench.bare import CONNECTIONS
from bench.processes import child, cpu_seconds
from bench.scenario import Bench, median, table, tell
from bench.service import running
from bench.sink import Arrival, received, sink
from bench.tasks import NEVER_SOON, Plan, every, insert_tasks
from engine.cipher import WebhookCipher

TASKS = 3_000
# With the ticks of TICK_EVERY_SECONDS a webhook stays below its 30 requests a minute.
QUEUED_EACH = 18
TICK_EVERY_SECONDS = 2
SECONDS = 20.0
# Connections and code are warm by then.
WARM_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """One run: deliveries per second, and CPU ms per delivery, of the process and PostgreSQL."""

    per_second: float
    cpu_ms: float
    postgres_cpu_ms: float
    seconds: float


async def steady(bench: Bench) -> None:
    """Measure a backlog, a backlog with ticks on top, and the bare loop, in turn."""
    figures: dict[str, list[Steady]] = {"backlog": [], "backlog and ticks": [], "bare": []}
    for number in range(bench.size(bench.runs, 1)):
        for name in ("backlog", "backlog and ticks"):
            figures[name].append(await _ours(bench, ticking=name != "backlog"))
        figures["bare"].append(await _bare(bench))
        tell(f"steady {number + 1}: { ({name: runs[-1] for name, runs in figures.items()}) }")
    bench.write("steady", figures, section(bench.size(TASKS, TASKS // 10), figures))


async def _ours(bench: Bench, *, ticking: bool) -> Steady:
    tasks, key = bench.size(TASKS, TASKS // 10), Fernet.generate_key().decode()
    schedules = [every(TICK_EVERY_SECONDS, n) if ticking else NEVER_SOON for n in range(tasks)]
    plans = [Plan(schedule=schedule, overlap="ALLOW") for schedule in schedules]
    server, most = bench.server, bench.size(int(SECONDS), 3)
    async with sink() as origin, server.migrated("steady") as (name, database):
        await insert_tasks(database, WebhookCipher([key]), origin, plans)
        async with running(server.url(name), origin, key) as service:
            await queue(database, QUEUED_EACH)
            await asyncio.sleep(WARM_SECONDS)
            before = time.time(), cpu_seconds(service.pid), server.cpu_seconds()
            await asyncio.sleep(most)
            after = time.time(), cpu_seconds(service.pid), server.cpu_seconds()
        arrivals = await received(origin)
    return _steady(arrivals, before, after)


async def _bare(bench: Bench) -> Steady:
    tasks = bench.size(TASKS, TASKS // 10)
    async with sink() as origin:
        tick = time.time() + 2
        command = [sys.executable, "-m", "bench.bare", origin, str(tasks * QUEUED_EACH)]
        async with child([*command, str(tasks), str(tick)], says="ready") as (process, _):
            await asyncio.sleep(tick - time.time())
            before = time.time(), cpu_seconds(process.pid), 0.0
            assert process.stdout is not None
            await process.stdout.readline()
            after = time.time(), cpu_seconds(process.pid), 0.0
        arrivals = await received(origin)
    return _steady(arrivals, before, after)


def _steady(
    arrivals: Sequence[Arrival],
    before: tuple[float, float, float],
    after: tuple[float, float, float],
) -> Steady:
    """Return the figures of what came between; should all be sent earlier, until the last came."""
    at = [arrival.at for arrival in arrivals if before[0] <= arrival.at < after[0]]
    seconds = max(at) - before[0]
    return Steady(
        per_second=len(at) / seconds,
        cpu_ms=(after[1] - before[1]) / len(at) * 1000,
        postgres_cpu_ms=(after[2] - before[2]) / len(at) * 1000,
        seconds=seconds,
    )


def section(tasks: int, figures: dict[str, list[Steady]]) -> str:
    """Return the section for the page."""
    bare = median(run.per_second for run in figures["bare"])
    names = {
        "backlog": "this service, a backlog",
        "backlog and ticks": f"the same, and {tasks // TICK_EVERY_SECONDS:,} ticks/s",
        "bare": f"bare aiohttp loop, {CONNECTIONS} connections, uvloop",
    }
    rows = []
    for name, runs in figures.items():
        per_second = median(run.per_second for run in runs)
        rows.append([
            names[name],
            f"{per_second:,.0f}",
            f"{per_second / bare:.0%}",
            f"{median(run.cpu_ms for run in runs):.3f}",
            f"{median(run.postgres_cpu_ms for run in runs):.3f}" if name != "bare" else "",
            f"{median(run.seconds for run in runs):.1f}",
        ])  # fmt: skip
    head = ["", "deliveries/s", "share of the bare loop", "CPU per delivery, ms"]
    head += ["PostgreSQL's CPU, ms", "measured, s"]
    return f"""## Steady: {tasks:,} webhooks, and always more to send than is sent

One process, with the sink and the database on the same cores. The backlog is {QUEUED_EACH} attempts
of each webhook, stored before; in the second row ticks are stored meanwhile. Medians of
{len(figures["bare"])} runs in turn.

{table(head, rows)}
"""
