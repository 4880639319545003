"""One run; ends with 1 if an invariant is broken, and tells the seed that repeats it."""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.chaos.suite import Result, run


def main() -> int:
    """Run once, print the figures, and with a breach also where the copies' output is kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=150.0, help="how long things break")
    parser.add_argument("--seed", type=int, help="repeat this order of faults; else a new one")
    given = parser.parse_args()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    sys.stdout.write(f"seed {seed}, {given.seconds:g} s of faults\n")
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        result = uvloop.run(run(Path(folder), seconds=given.seconds, seed=seed))
    sys.stdout.write(f"{result.text}\n")
    if not result.breaches:
        return 0
    sys.stdout.write(f"  the copies' output is in {_keep_outputs(result)}\n")
    return 1


def _keep_outputs(result: Result) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{result.seed}-"))
    for number, (name, text) in enumerate(result.outputs):
        (folder / f"{number:02}-{name}.log").write_text(text)
    return folder


if __name__ == "__main__":
    sys.exit(main())
