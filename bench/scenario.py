"""What a scenario is given, and where its figures go."""

import math
import os
import platform
import re
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from bench.processes import ROOT
from bench.server import Server

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
CPUINFO = Path("/proc/cpuinfo")
_MODEL = re.compile(r"^model name\s*: (.+)$", re.MULTILINE)
_BYTES_PER_GIB = 1_073_741_824
SECTIONS = ("Burst", "Steady", "Lateness", "Scale", "Ticks", "Copies", "Logs", "List")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How to run: `runs` of each in turn, or small sizes when `quick`; `rows` is of logs."""

    server: Server
    runs: int
    rows: int
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Return which size to take."""
        return quick if self.quick else full

    def write(self, name: str, figures: object, section: str) -> None:
        """Write figures and section to their places; small sizes are only printed."""
        given = orjson.dumps(
            figures, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS
        )
        if self.quick:
            print(section)
            return
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_bytes(given + b"\n")
        PAGE.write_text(with_section(PAGE.read_text(), section))


Scenario = Callable[[Bench], Awaitable[None]]


def tell(line: str) -> None:
    """Say how far it is, on stderr."""
    print(line, file=sys.stderr, flush=True)


def with_section(page: str, section: str) -> str:
    """Return the page with this section; sections of scenarios that are no more are left out."""
    _, *old = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    by_name = {_name(one): one.strip() + "\n" for one in (*old, section)}
    kept = [by_name[name] for name in SECTIONS if name in by_name]
    return "\n".join([_intro(), *kept])


def _name(section: str) -> str:
    return section.removeprefix("## ").partition(":")[0]


def _intro() -> str:
    return f"""# Benchmarks

One address may send 50 requests per second to the real Discord; these figures say how much room is
left below that, and what the service costs.

`make bench` measures and writes this page; `make bench args=NAME` measures one scenario, and
`args="NAME --quick"` only shows that it works. All figures, run by run, are in `bench/results`;
[bench/README.md](../bench/README.md) says how it is measured and how the peers are installed.

The machine: {_machine()}, Python {platform.python_version()}.
PostgreSQL, with fsync on, clients and receiving servers are on the same cores.
"""


def _machine() -> str:
    """Return its cores and memory, and what its processor calls itself, where the system tells."""
    memory_gib = psutil.virtual_memory().total / _BYTES_PER_GIB
    found = _MODEL.search(CPUINFO.read_text()) if CPUINFO.exists() else None
    model = f" ({found[1]})" if found else ""
    return f"{os.cpu_count()} cores{model}, {memory_gib:.1f} GiB of memory"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def median(values: Iterable[float]) -> float:
    """Return the median; of nothing it is 0."""
    given = list(values)
    return float(statistics.median(given)) if given else 0.0


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that so large a share of the values doesn't exceed."""
    given = sorted(values)
    return given[max(math.ceil(share * len(given)), 1) - 1] if given else 0.0
