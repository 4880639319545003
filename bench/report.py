"""The page of figures, docs/benchmarks.md: one section per scenario."""

import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.figures import Burst
from bench.load import Load

REPORT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def write_section(section: str) -> None:
    """Put the section in the place of its predecessor, which begins with the same word, or last."""
    _, *sections = re.split(r"^(?=## )", REPORT.read_text(), flags=re.MULTILINE)
    word = section.partition(":")[0]
    names = [one.partition(":")[0] for one in sections]
    place = names.index(word) if word in names else len(names)
    sections[place : place + 1] = [section]
    REPORT.write_text("\n".join([_intro(), *(one.strip() + "\n" for one in sections)]))


def _intro() -> str:
    return f"""# Benchmarks

One address may send 50 requests per second to the real Discord; these figures say how much room is
left below that, and what the service costs.

`make bench` measures and writes this page; `make bench args=NAME` measures one scenario (`burst`,
`start`, `graphql-list`). The machine: {os.cpu_count()} cores, Python {platform.python_version()},
with PostgreSQL, clients and receiving servers on the same cores.
"""


def burst_section(tasks: int, ours: Sequence[Burst], bare: Sequence[Burst]) -> str:
    """Return the section on a burst."""
    rows = "\n".join(
        f"| {name} | {_median(runs, 'last_request_ms'):.0f} | "
        f"{_median(runs, 'cpu_ms_per_delivery'):.2f} | "
        f"{min(run.requests for run in runs)} | {min(run.rows for run in runs)} |"
        for name, runs in (("this service", ours), ("bare aiohttp loop, 64 connections", bare))
    )
    ratio = _median(ours, "last_request_ms") / _median(bare, "last_request_ms")
    return f"""## Burst: {tasks:,} tasks due in the same second, each on a webhook of its own

Medians of {len(ours)} runs, in turn with a bare loop that posts the same requests and stores
nothing.

| | last request, ms after the tick | CPU per delivery, ms | requests | log rows |
|---|---|---|---|---|
{rows}

Last request: {ratio:.1f} times the bare loop's. CPU is user and system time of the sending process.
This service stores each tick before it is sent (durably, with fsync), encrypts its webhook's URL at
rest, keeps the limits, logs each attempt and records it; the bare loop does none of that.
"""


def start_section(loads: Sequence[Load]) -> str:
    """Return the section on the start."""
    return f"""## Start: {loads[0].tasks:,} ACTIVE tasks with mixed schedules and zones

| {len(loads)} runs | median | slowest |
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
