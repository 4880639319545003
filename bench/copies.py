"""Several copies on one database: what each delivery costs, and what the database bears."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cryptography.fernet import Fernet

from bench.backlog import queue
from bench.plots import Curve, plot
from bench.processes import cpu_seconds
from bench.scenario import Bench, median, table, tell
from bench.service import ready, starting
from bench.sink import received, sink
from bench.tasks import NEVER_SOON, Plan, insert_tasks
from engine.cipher import WebhookCipher

COPIES = (1, 2, 4, 8)
TASKS = 3_000
QUEUED_EACH = 8
RUNS = 3
DEADLINE_SECONDS = 120
POLL_SECONDS = 0.2
_WAITING = "select count(*) from task_logs where status = 'QUEUED'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """One run: deliveries per second, and CPU ms per delivery, of all copies and PostgreSQL."""

    copies: int
    per_second: float
    cpu_ms: float
    postgres_cpu_ms: float


async def copies(bench: Bench) -> None:
    """Let 1, 2, 4 and 8 copies send the same backlog, in turn."""
    tasks = bench.size(TASKS, 200)
    figures: dict[int, list[Shared]] = {number: [] for number in COPIES}
    for _ in range(bench.size(min(bench.runs, RUNS), 1)):
        for number, runs in figures.items():
            runs.append(await _measure(bench, number, tasks))
            tell(f"copies: {runs[-1]}")
    middle = [_median(number, runs) for number, runs in figures.items()]
    numbers = [one.copies for one in middle]
    curves = [
        Curve(label="CPU per delivery, all copies", x=numbers, y=[one.cpu_ms for one in middle]),
        Curve(
            label="PostgreSQL's CPU per delivery",
            x=numbers,
            y=[one.postgres_cpu_ms for one in middle],
        ),
        Curve(label="deliveries/s", x=numbers, y=[one.per_second for one in middle], axis=1),
    ]
    plot(
        bench,
        "copies.png",
        title="One backlog, sent by several copies",
        x="copies",
        y="ms",
        right="deliveries/s",
        curves=curves,
    )
    bench.write("copies", figures, section(tasks, len(figures[1]), middle))


async def _measure(bench: Bench, number: int, tasks: int) -> Shared:
    server, key = bench.server, Fernet.generate_key().decode()
    plans = [Plan(schedule=NEVER_SOON, overlap="ALLOW")] * tasks
    async with sink() as origin, server.migrated("copies") as (name, database):
        await insert_tasks(database, WebhookCipher([key]), origin, plans)
        async with AsyncExitStack() as stack:
            started = [
                await stack.enter_async_context(starting(server.url(name), origin, key))
                for _ in range(number)
            ]
            await asyncio.gather(*(ready(service) for service in started))
            await queue(database, QUEUED_EACH)
            before = sum(cpu_seconds(service.pid) for service in started), server.cpu_seconds()
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await server.count(name, _WAITING):  # noqa: ASYNC110 - others move it
                    await asyncio.sleep(POLL_SECONDS)
            after = sum(cpu_seconds(service.pid) for service in started), server.cpu_seconds()
        at = [arrival.at for arrival in await received(origin)]
    return Shared(
        copies=number,
        per_second=len(at) / (max(at) - min(at)),
        cpu_ms=(after[0] - before[0]) / len(at) * 1000,
        postgres_cpu_ms=(after[1] - before[1]) / len(at) * 1000,
    )


def _median(number: int, runs: Sequence[Shared]) -> Shared:
    return Shared(
        copies=number,
        per_second=median(run.per_second for run in runs),
        cpu_ms=median(run.cpu_ms for run in runs),
        postgres_cpu_ms=median(run.postgres_cpu_ms for run in runs),
    )


def section(tasks: int, runs: int, middle: Sequence[Shared]) -> str:
    """Return the section for the page."""
    rows = [
        [one.copies, f"{one.per_second:,.0f}", f"{one.cpu_ms:.3f}", f"{one.postgres_cpu_ms:.3f}"]
        for one in middle
    ]
    head = ["copies", "deliveries/s", "CPU per delivery, ms", "PostgreSQL's CPU per delivery, ms"]
    return f"""## Copies: {tasks * QUEUED_EACH:,} attempts on {tasks:,} webhooks

All on the same cores, with the database and the sink, so more copies are not faster here: what
counts is that a delivery costs no more. Medians of {runs} runs in turn.

{table(head, rows)}

![CPU per delivery against the number of copies](copies.png)
"""
