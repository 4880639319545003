"""A shared schedule answers as its schedule does, and goes with its last user."""

import gc
from datetime import UTC, datetime, timedelta

import pytest

from engine.cron import parse_schedule
from engine.timetable import Timetable, Timetables

START = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize("expression", ["*/15 * * * *", "30 2 * * *", "0 9 * * 1", "5 * * * * *"])
def test_answers_are_those_of_the_schedule_in_any_order(expression: str) -> None:
    schedule = parse_schedule(expression, "Europe/Berlin")
    timetable = Timetable(schedule)
    instants = [START + timedelta(minutes=7 * (n * 37 % 100), microseconds=n) for n in range(100)]

    for at in instants:
        assert timetable.next_after(at) == schedule.next_after(at)


def test_instant_of_a_tick_is_not_answered_with_itself() -> None:
    timetable = Timetable(parse_schedule("* * * * *", "UTC"))

    tick = timetable.next_after(START)

    assert timetable.next_after(tick) == tick + timedelta(minutes=1)


def test_same_schedule_and_zone_are_shared_and_others_are_not() -> None:
    timetables = Timetables()

    one = timetables.get("0 9 * * *", "UTC")

    assert timetables.get("0 9 * * *", "UTC") is one
    assert timetables.get("0 9 * * *", "Asia/Tokyo") is not one


def test_timetable_is_forgotten_with_its_last_user() -> None:
    timetables = Timetables()
    one = timetables.get("0 9 * * *", "UTC")
    assert len(timetables) == 1

    del one
    gc.collect()

    assert len(timetables) == 0
