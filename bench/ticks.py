"""What one tick costs among few and many tasks, at the same rate of ticks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet

from bench.plots import Curve, plot
from bench.processes import cpu_seconds
from bench.scenario import Bench, table, tell
from bench.service import running
from bench.sink import received, sink
from bench.tasks import Plan, every, insert_tasks
from engine.cipher import WebhookCipher

# Two reconciles.
SECONDS = 60
SETTLE_SECONDS = 4
# So many tasks tick every so many seconds: 100 ticks each second, whatever the number of tasks.
MIXES: dict[int, dict[int, int]] = {
    1_000: {10: 1_000},
    10_000: {60: 5_000, 300: 5_000},
    100_000: {600: 40_000, 1_800: 60_000},
}
QUICK_MIXES: dict[int, dict[int, int]] = {100: {10: 100}, 600: {60: 600}}


@dataclass(frozen=True, slots=True, kw_only=True)
class TickCost:
    """CPU ms per tick of the scheduler and worker, and of PostgreSQL, with so many tasks."""

    tasks: int
    ticks: int
    cpu_ms: float
    postgres_cpu_ms: float


async def ticks(bench: Bench) -> None:
    """Measure each number of tasks once: a minute has thousands of ticks."""
    figures = []
    for mix in (QUICK_MIXES if bench.quick else MIXES).values():
        figures.append(await _measure(bench, mix))
        tell(f"ticks: {figures[-1]}")
    plot(
        bench,
        "cost-per-tick.png",
        title="CPU of one tick, at 100 ticks each second",
        x="ACTIVE tasks",
        y="ms",
        curves=[
            Curve(
                label=label,
                x=[one.tasks for one in figures],
                y=[getattr(one, field) for one in figures],
            )
            for label, field in (
                ("scheduler and worker", "cpu_ms"),
                ("PostgreSQL", "postgres_cpu_ms"),
            )
        ],
        log_x=True,
    )
    bench.write("ticks", figures, section(bench, figures))


async def _measure(bench: Bench, mix: dict[int, int]) -> TickCost:
    server, key = bench.server, Fernet.generate_key().decode()
    plans = [
        Plan(schedule=every(period, number % period))
        for period, tasks in mix.items()
        for number in range(tasks)
    ]
    async with sink() as origin, server.migrated("ticks") as (name, database):
        await insert_tasks(database, WebhookCipher([key]), origin, plans)
        async with running(server.url(name), origin, key) as service:
            await asyncio.sleep(SETTLE_SECONDS)
            sent = len(await received(origin))
            before = cpu_seconds(service.pid), server.cpu_seconds()
            await asyncio.sleep(bench.size(SECONDS, 6))
            after = cpu_seconds(service.pid), server.cpu_seconds()
            sent = len(await received(origin)) - sent
    return TickCost(
        tasks=len(plans),
        ticks=sent,
        cpu_ms=(after[0] - before[0]) / sent * 1000,
        postgres_cpu_ms=(after[1] - before[1]) / sent * 1000,
    )


def section(bench: Bench, figures: Sequence[TickCost]) -> str:
    """Return the section for the page."""
    rows = [
        [f"{one.tasks:,}", f"{one.ticks:,}", f"{one.cpu_ms:.2f}", f"{one.postgres_cpu_ms:.2f}"]
        for one in figures
    ]
    head = ["ACTIVE tasks", "ticks", "CPU per tick, ms", "PostgreSQL's CPU per tick, ms"]
    ratio = figures[-1].cpu_ms / figures[0].cpu_ms
    return f"""## Ticks: what one costs among few and many tasks

About 100 ticks each second, whatever the number of tasks, which all tick; the fewer there are, the
more often each. CPU is of all that the process does in {bench.size(SECONDS, 6)} s, its reconciles
included, by the number of ticks sent. With the most tasks a tick costs {ratio:.2f} times as much as
with the fewest.

{table(head, rows)}

![CPU per tick against the number of tasks](cost-per-tick.png)
"""
