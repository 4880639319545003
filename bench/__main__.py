"""`make bench`: run the scenarios, print JSON, and write docs/benchmarks.md."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

import orjson
import uvloop

from bench.bare import run_bare
from bench.burst import run_burst
from bench.databases import fresh_database
from bench.figures import Burst, sink
from bench.graphql_list import list_section, measure_list
from bench.load import Load, run_load
from bench.report import burst_section, start_section, write_section
from engine.logs import configure_logging
from models.embedded import EmbeddedPostgres

LOADED_TASKS = 20_000


async def main(scenarios: list[str], tasks: int, runs: int) -> None:
    """Run the scenarios; print their figures and write their medians."""
    with tempfile.TemporaryDirectory(prefix="scheduler-bench-") as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        try:
            if "burst" in scenarios:
                await _burst(server, tasks, runs)
            if "start" in scenarios:
                await _start(server, runs)
            if "graphql-list" in scenarios:
                figures = await measure_list(server, runs)
                _show(figures)
                write_section(list_section(figures))
        finally:
            server.stop()


async def _burst(server: EmbeddedPostgres, tasks: int, runs: int) -> None:
    ours: list[Burst] = []
    bare: list[Burst] = []
    for number in range(runs):
        async with fresh_database(server, f"burst_{number}") as database, sink() as origin:
            ours.append(await run_burst(database, origin, tasks))
        async with sink() as origin:
            bare.append(await run_bare(origin, tasks))
        print(f"run {number + 1} of {runs}: {ours[-1]}", file=sys.stderr)
    _show({"ours": ours, "bare": bare})
    write_section(burst_section(tasks, ours, bare))


async def _start(server: EmbeddedPostgres, runs: int) -> None:
    loads: list[Load] = []
    for number in range(runs):
        async with fresh_database(server, f"load_{number}") as database:
            loads.append(await run_load(database, LOADED_TASKS))
    _show({"loads": loads})
    write_section(start_section(loads))


def _show(figures: object) -> None:
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    names = ("burst", "start", "graphql-list")
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {', '.join(names)}")
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    if unknown := set(given.scenarios) - set(names):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    # The attempts' log lines are written as in production, to nowhere.
    with Path(os.devnull).open("w") as nowhere:
        configure_logging(level="INFO", as_json=True, output=nowhere)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main(given.scenarios or list(names), given.tasks, given.runs))
