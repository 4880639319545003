"""The parts of the benchmarks whose faults would look like figures."""

from datetime import UTC, datetime

import pytest

from bench.lateness import last_tick
from bench.scenario import quantile, table, with_section
from bench.tasks import every
from bench.ticks import MIXES
from engine.cron import parse_schedule

START = datetime(2026, 11, 25, 11, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("period", [2, 10, 60, 300, 600, 1_800])
@pytest.mark.parametrize("offset", [0, 1, 59, 61, 299, 1_799])
def test_schedule_ticks_once_in_each_period_at_its_offset(period: int, offset: int) -> None:
    schedule = parse_schedule(every(period, offset % period), "UTC")

    first = schedule.next_after(START)
    second = schedule.next_after(first)

    assert first.timestamp() % period == offset % period
    assert (second - first).total_seconds() == period
    assert first.timestamp() - START.timestamp() <= period


def test_every_number_of_tasks_ticks_a_hundred_times_each_second() -> None:
    for total, mix in MIXES.items():
        assert sum(mix.values()) == total
        assert sum(tasks / period for period, tasks in mix.items()) == pytest.approx(100)


@pytest.mark.parametrize(
    ("at", "period", "offset", "tick"),
    [
        (1_200.0, 60, 0, 1_200),
        (1_200.5, 60, 0, 1_200),
        (1_259.5, 60, 0, 1_200),
        (1_199.95, 60, 0, 1_200),
        (1_200.5, 60, 59, 1_199),
        (1_203.0, 10, 4, 1_194),
    ],
)
def test_arrival_belongs_to_the_newest_tick_before_it(
    at: float, period: int, offset: int, tick: int
) -> None:
    assert last_tick(at, period, offset) == tick


def test_section_takes_the_place_of_its_predecessor_and_old_ones_go() -> None:
    page = "# Benchmarks\n\n## Burst: a\n\nold\n\n## Start: gone\n\ngone\n\n## List: c\n\nkept\n"

    written = with_section(page, "## Burst: b\n\nnew\n")

    assert "new" in written
    assert "old" not in written
    assert "gone" not in written
    assert written.index("## Burst") < written.index("## List: c")
    assert with_section(written, "## Burst: b\n\nnew\n") == written


def test_quantile_is_a_measured_value() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0, 2.0], 0.99) == 2.0
    assert quantile([], 0.5) == 0.0


def test_table_has_a_line_for_each_row() -> None:
    assert table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"
