"""Pictures of curves, drawn by the peers' own Python, which has matplotlib."""

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from bench.installed import PEERS, PYTHON, install_python
from bench.processes import ROOT
from bench.scenario import Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line through points; `axis` 1 has its scale on the right."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    axis: int = 0


def plot(
    bench: Bench,
    file: str,
    *,
    title: str,
    x: str,
    y: str,
    curves: Sequence[Curve],
    log_x: bool = False,
    right: str = "",
) -> None:
    """Draw docs/FILE; with small sizes it is drawn too, but into .bench/."""
    install_python()
    folder = ROOT / (".bench" if bench.quick else "docs")
    given = {
        "file": str(folder / file),
        "title": title,
        "x": x,
        "y": y,
        "right": right,
        "log_x": log_x,
        "curves": [asdict(curve) for curve in curves],
    }
    subprocess.run([PYTHON, PEERS / "draw.py"], input=orjson.dumps(given), check=True)
