"""`make bench`: run the scenarios, and write their figures and docs/benchmarks.md."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

import uvloop

from bench.burst import burst
from bench.copies import copies
from bench.graphql_list import graphql_list
from bench.lateness import lateness
from bench.logs import logs
from bench.scale import scale
from bench.scenario import Bench, Scenario, tell
from bench.server import Server
from bench.steady import steady
from bench.ticks import ticks
from engine.logs import configure_logging
from models.embedded import EmbeddedPostgres

SCENARIOS: Mapping[str, Scenario] = {
    "burst": burst,
    "steady": steady,
    "lateness": lateness,
    "scale": scale,
    "ticks": ticks,
    "copies": copies,
    "logs": logs,
    "graphql-list": graphql_list,
}


async def main(names: list[str], *, runs: int, rows: int, quick: bool) -> list[str]:
    """Run the scenarios one after another on one server; return the names of those that failed."""
    with tempfile.TemporaryDirectory(prefix="scheduler-bench-") as folder:
        postgres = EmbeddedPostgres(Path(folder))
        postgres.start()
        try:
            server = Server(postgres, Path(folder))
            bench = Bench(server=server, runs=runs, rows=rows, quick=quick)
            return [name for name in names if not await _succeeds(name, bench)]
        finally:
            postgres.stop()


async def _succeeds(name: str, bench: Bench) -> bool:
    """Run a scenario; one that fails doesn't keep the others from being run."""
    tell(f"{name} begins at {time.strftime('%H:%M:%S')}")
    try:
        await SCENARIOS[name](bench)
    except Exception:  # noqa: BLE001 - a peer may fail in any way
        traceback.print_exc()
        return False
    return True


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
            failed = runner.run(
                main(
                    given.scenarios or list(SCENARIOS),
                    runs=given.runs,
                    rows=given.rows,
                    quick=given.quick,
                )
            )
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
