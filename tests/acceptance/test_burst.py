"""Many ticks at one instant on few webhooks; `python -m tests.chaos.burst` is the long form."""

from pathlib import Path

import pytest

from tests.chaos.burst import run_burst

WEBHOOKS = 20
# Three times what a webhook takes at once; more than 30 would take more than a minute.
TICKS = 15


@pytest.mark.no_cover
@pytest.mark.timeout(210)
async def test_burst_from_three_copies_meets_no_limit_and_keeps_its_order(tmp_path: Path) -> None:
    figures = await run_burst(tmp_path, webhooks=WEBHOOKS, ticks=TICKS)

    for form in ("with", "without"):
        assert figures[f"{form}: webhooks"] == WEBHOOKS, figures
        assert figures[f"{form}: delivered"] == WEBHOOKS * TICKS, figures
        assert figures[f"{form}: requests"] == WEBHOOKS * TICKS, figures
        assert figures[f"{form}: out of order"] == 0, figures
        assert figures[f"{form}: answers 429"] == 0, figures
