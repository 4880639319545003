"""The short form of the chaos suite; `make chaos` is the long one."""

from pathlib import Path

import pytest

from tests.chaos.faults import Fault
from tests.chaos.suite import run

SECONDS = 15.0
SEED = 3


@pytest.mark.no_cover
@pytest.mark.timeout(150)
async def test_no_fault_loses_a_tick_or_stores_one_twice(tmp_path: Path) -> None:
    result = await run(tmp_path, seconds=SECONDS, seed=SEED, pause_seconds=(0.5, 1.5))
    assert not result.breaches, result.text
    assert result.figures["ticks"]
    assert sum(int(str(result.figures[fault])) for fault in Fault) >= 3, result.text
