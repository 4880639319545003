"""Discord goes away; `python -m tests.chaos.outage` is the long form."""

from pathlib import Path

import pytest

from tests.chaos.outage import run_outage

TASKS = 40


@pytest.mark.no_cover
@pytest.mark.timeout(270)
async def test_outage_fails_no_task_and_breaks_no_limit(tmp_path: Path) -> None:
    figures = await run_outage(tmp_path, tasks=TASKS, every_seconds=5, down_seconds=18.0)

    assert figures["tasks FAILED"] == 0, figures
    assert figures.get("attempts FAILED", 0) == 0, figures
    assert figures.get("attempts UNKNOWN", 0) == 0, figures
    assert figures["answers 429"] == 0, figures
    assert figures["attempts SUCCESS"] == figures["requests answered 200"], figures
    assert figures["attempts SUCCESS"] > TASKS, figures
    # Probes every five seconds, and what was on its way when 503 began.
    assert 1 <= figures["requests while 503"] <= 5, figures
