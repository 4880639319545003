"""`make bench`: run the scenarios, print JSON, and write docs/benchmarks.md."""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import asyncpg
import orjson
import uvloop

from bench.bare import run_bare
from bench.burst import run_burst
from bench.figures import Burst, sink
from bench.load import Load, run_load
from engine.logs import configure_logging
from models.database import Database, credentials
from models.embedded import EmbeddedPostgres
from models.migrate import migrate

LOADED_TASKS = 20_000
REPORT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


async def main(tasks: int, runs: int) -> None:
    """Run the scenarios in turn; print the figures and write the medians."""
    ours: list[Burst] = []
    bare: list[Burst] = []
    loads: list[Load] = []
    with tempfile.TemporaryDirectory(prefix="scheduler-bench-") as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        try:
            for number in range(runs):
                async with _database(server, f"burst_{number}") as database, sink() as origin:
                    ours.append(await run_burst(database, origin, tasks))
                async with sink() as origin:
                    bare.append(await run_bare(origin, tasks))
                async with _database(server, f"load_{number}") as database:
                    loads.append(await run_load(database, LOADED_TASKS))
                print(f"run {number + 1} of {runs}: {ours[-1]}", file=sys.stderr)
        finally:
            server.stop()
    figures = {"ours": ours, "bare": bare, "loads": loads}
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    REPORT.write_text(_report(tasks, ours, bare, loads))


@asynccontextmanager
async def _database(server: EmbeddedPostgres, name: str) -> AsyncIterator[Database]:
    """Make a migrated database, and yield it connected."""
    admin = await asyncpg.connect(**credentials(server.url("postgres")))
    await admin.execute(f"create database {name}")
    await admin.close()
    await migrate(server.url(name))
    database = await Database.connect(server.url(name))
    try:
        yield database
    finally:
        await database.close()


def _report(tasks: int, ours: Sequence[Burst], bare: Sequence[Burst], loads: Sequence[Load]) -> str:
    rows = "\n".join(
        f"| {name} | {_median(runs, 'last_request_ms'):.0f} | "
        f"{_median(runs, 'cpu_ms_per_delivery'):.2f} | "
        f"{min(run.requests for run in runs)} | {min(run.rows for run in runs)} |"
        for name, runs in (("this service", ours), ("bare aiohttp loop, 64 connections", bare))
    )
    ratio = _median(ours, "last_request_ms") / _median(bare, "last_request_ms")
    return f"""# Benchmarks

One address may send 50 requests per second to the real Discord; these figures say how much room is
left below that, and what the service costs.

`make bench` measures and writes this page: medians of {len(ours)} runs, in turn with a bare loop
that posts the same requests and stores nothing. The machine: {os.cpu_count()} cores, Python
{platform.python_version()}, PostgreSQL and the receiving server on the same cores.

## Burst: {tasks:,} tasks due in the same second, each on a webhook of its own

| | last request, ms after the tick | CPU per delivery, ms | requests | log rows |
|---|---|---|---|---|
{rows}

Last request: {ratio:.1f} times the bare loop's. CPU is user and system time of the sending process.
This service stores each tick before it is sent (durably, with fsync), encrypts its webhook's URL at
rest, keeps the limits, logs each attempt and records it; the bare loop does none of that.

## Start: {loads[0].tasks:,} ACTIVE tasks with mixed schedules and zones

| | median | slowest |
|---|---|---|
| all jobs registered, s after the start | {_median(loads, "ready_seconds"):.2f} \
| {max(run.ready_seconds for run in loads):.2f} |
| a mutation's answer while they load, ms | {_median(loads, "mutation_ms_while_loading"):.0f} \
| {max(run.mutation_ms_while_loading for run in loads):.0f} |
| the slowest of 20 mutations afterwards, ms | {_median(loads, "mutation_ms_after"):.0f} \
| {max(run.mutation_ms_after for run in loads):.0f} |
"""


def _median(runs: Sequence[Burst] | Sequence[Load], field: str) -> float:
    return float(statistics.median(asdict(run)[field] for run in runs))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    # The attempts' log lines are written as in production, to nowhere.
    with Path(os.devnull).open("w") as nowhere:
        configure_logging(level="INFO", as_json=True, output=nowhere)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main(given.tasks, given.runs))
