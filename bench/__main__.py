"""`make bench`: run the scenarios, and write their figures and docs/benchmarks.md."""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import uvloop

from bench.burst import burst
from bench.graphql_list import graphql_list
from bench.lateness import lateness
from bench.scale import scale
from bench.scenario import Bench, Scenario
from bench.server import Server
from bench.steady import steady
from engine.logs import configure_logging
from models.embedded import EmbeddedPostgres

SCENARIOS: Mapping[str, Scenario] = {
    "burst": burst,
    "steady": steady,
    "lateness": lateness,
    "scale": scale,
    "graphql-list": graphql_list,
}


async def main(names: list[str], *, runs: int, rows: int, quick: bool) -> None:
    """Run the scenarios one after another on one database server."""
    with tempfile.TemporaryDirectory(prefix="scheduler-bench-") as folder:
        postgres = EmbeddedPostgres(Path(folder))
        postgres.start()
        try:
            server = Server(postgres, Path(folder))
            bench = Bench(server=server, runs=runs, rows=rows, quick=quick)
            for name in names:
                await SCENARIOS[name](bench)
        finally:
            postgres.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    listed = ", ".join(SCENARIOS)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {listed}")
    parser.add_argument("--runs", type=int, default=5, help="of each in turn")
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the logs scenario")
    parser.add_argument("--quick", action="store_true", help="small sizes, that write no page")
    given = parser.parse_args()
    if unknown := set(given.scenarios) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    # What this process itself would say as the service goes where the service's lines go.
    with Path(os.devnull).open("w") as nowhere:
        configure_logging(level="INFO", as_json=True, output=nowhere)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                main(
                    given.scenarios or list(SCENARIOS),
                    runs=given.runs,
                    rows=given.rows,
                    quick=given.quick,
                )
            )
