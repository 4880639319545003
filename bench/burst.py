"""A burst: many tasks due in the same second, each on a webhook of its own, and its contenders."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.contenders import (
    APSCHEDULER,
    APSCHEDULER_UVLOOP,
    BARE,
    BULLMQ,
    NEST,
    OURS,
    Contender,
    Running,
    Setting,
)
from bench.installed import install_python, why_no_node, why_no_redis
from bench.processes import cpu_seconds, peak_mib
from bench.scenario import Bench, median, table, tell
from bench.server import Server
from bench.sink import received, sink

# What is measured begins so long before the tick.
BEFORE_SECONDS = 0.25


class NotReady(Exception):
    """A contender was not ready before the tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One run: ms from the tick to requests, CPU ms per delivery, memory, requests and rows."""

    last_request_ms: float
    median_request_ms: float
    cpu_ms: float
    postgres_cpu_ms: float
    redis_cpu_ms: float
    peak_mib: float
    requests: int
    rows: int


Runs = Mapping[str, Sequence[Burst]]


async def burst(bench: Bench) -> None:
    """Run everybody in turn, with both numbers of tasks."""
    everybody, absent = contenders()
    figures: dict[int, Runs] = {}
    for tasks, runs in ((2_000, bench.runs), (10_000, max(bench.runs - 2, 1))):
        size = bench.size(tasks, tasks // 20)
        figures[size] = await _in_turn(bench, everybody, size, bench.size(runs, 1))
    bench.write("burst", figures, section(figures, everybody, absent))


def contenders() -> tuple[list[Contender], list[str]]:
    """Install the peers; return who takes part, and a line for each that can't."""
    install_python()
    everybody, absent = [OURS, APSCHEDULER, APSCHEDULER_UVLOOP], []
    if reason := why_no_node():
        absent.append(f"NestJS and BullMQ are left out: {reason}.")
        return [*everybody, BARE], absent
    everybody.append(NEST)
    if reason := why_no_redis():
        absent.append(f"BullMQ is left out: {reason}.")
    else:
        everybody.append(BULLMQ)
    return [*everybody, BARE], absent


async def _in_turn(
    bench: Bench, everybody: Sequence[Contender], tasks: int, runs: int
) -> dict[str, list[Burst]]:
    figures: dict[str, list[Burst]] = {contender.name: [] for contender in everybody}
    for number in range(runs):
        for contender in everybody:
            measured = await one_run(bench.server, contender, tasks)
            figures[contender.name].append(measured)
            tell(f"burst {tasks} {number + 1}/{runs} {contender.name}: {measured}")
    return figures


async def one_run(server: Server, contender: Contender, tasks: int) -> Burst:
    """Start a contender, and measure it; one that was not ready in time gets more time.

    Raises: NotReady, if it was not ready in a multiple of its time.
    """
    for longer in (1, 2):
        try:
            return await _attempt(server, contender, tasks, longer)
        except NotReady as error:
            tell(str(error))
    return await _attempt(server, contender, tasks, 5)


async def _attempt(server: Server, contender: Contender, tasks: int, longer: int) -> Burst:
    """Measure from a moment before the tick to the last row."""
    async with sink() as origin:
        tick = float(int(time.time() + longer * contender.lead_seconds(tasks)) + 1)
        setting = Setting(server=server, origin=origin, tasks=tasks, tick=tick)
        async with contender.run(setting) as running:
            if time.time() > tick - BEFORE_SECONDS:
                raise NotReady(f"{contender.name} was not ready in time for {tasks} tasks")
            await asyncio.sleep(tick - BEFORE_SECONDS - time.time())
            before = _spent(server, running)
            rows = await running.finished()
            ours, postgres, redis = (
                (after - at) / tasks * 1000
                for after, at in zip(_spent(server, running), before, strict=True)
            )
            peak = peak_mib(running.pid)
        arrivals = [arrival.at for arrival in await received(origin)]
    return Burst(
        last_request_ms=(max(arrivals) - tick) * 1000,
        median_request_ms=(median(arrivals) - tick) * 1000,
        cpu_ms=ours,
        postgres_cpu_ms=postgres,
        redis_cpu_ms=redis,
        peak_mib=peak,
        requests=len(arrivals),
        rows=rows,
    )


def _spent(server: Server, running: Running) -> tuple[float, float, float]:
    redis = cpu_seconds(running.redis_pid) if running.redis_pid else 0.0
    return cpu_seconds(running.pid), server.cpu_seconds(), redis


def section(
    figures: Mapping[int, Runs], everybody: Sequence[Contender], absent: Sequence[str]
) -> str:
    """Return the section for the page."""
    sizes = " and ".join(f"{tasks:,}" for tasks in figures)
    tables = "\n\n".join(_table(tasks, runs) for tasks, runs in figures.items())
    lacks = "\n".join(f"- {one.name}: {one.lacks}." for one in everybody if one.lacks)
    missed = "\n".join(absent)
    return f"""## Burst: {sizes} tasks due in the same second, each on a webhook of its own

In turn, each in a process of its own, to the same kind of sink, with a row for each delivery in the
same PostgreSQL server. Each task ticks once a minute, all in the same second; one such tick is
measured. Times are from the tick to the request's arrival. CPU is user and system time of all
processes of the contender, and of PostgreSQL's, from just before the tick to the last row. Memory
is the peak of the contender's processes, without PostgreSQL and Redis.

{tables}

This service stores each tick before it is sent (durably, with fsync), sends it once however many
copies run, keeps Discord's limits, encrypts URLs at rest, and writes a log line for each attempt.
What the others don't do:

{lacks}
{missed}
"""


def _table(tasks: int, runs: Runs) -> str:
    base = _medians(runs[APSCHEDULER.name])
    head = ["", "last request, ms", "median request, ms", "CPU per delivery, ms"]
    head += ["PostgreSQL's CPU, ms", "Redis' CPU, ms", "memory, MiB", "requests", "rows"]
    head += ["last, ratio", "CPU, ratio"]
    rows = []
    for name, measured in runs.items():
        of = _medians(measured)
        rows.append([
            name,
            f"{of['last_request_ms']:.0f}",
            f"{of['median_request_ms']:.0f}",
            f"{of['cpu_ms']:.2f}",
            f"{of['postgres_cpu_ms']:.2f}" if name != BARE.name else "",
            f"{of['redis_cpu_ms']:.2f}" if name == BULLMQ.name else "",
            f"{of['peak_mib']:.0f}",
            min(run.requests for run in measured),
            min(run.rows for run in measured),
            f"{of['last_request_ms'] / base['last_request_ms']:.2f}",
            f"{of['cpu_ms'] / base['cpu_ms']:.2f}",
        ])  # fmt: skip
    count = len(next(iter(runs.values())))
    return (
        f"{tasks:,} tasks, medians of {count} runs, ratios against {APSCHEDULER.name}:\n\n"
        + table(head, rows)
    )


def _medians(runs: Sequence[Burst]) -> dict[str, float]:
    names = ("last_request_ms", "median_request_ms", "cpu_ms", "postgres_cpu_ms", "redis_cpu_ms")
    return {name: median(getattr(run, name) for run in runs) for name in (*names, "peak_mib")}
