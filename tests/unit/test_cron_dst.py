"""Schedules around every change of the UTC offset, against an oracle that knows nothing of them.

The oracle looks at each instant's wall time and at each wall time of a stretch, one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from engine.cron import parse_schedule

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # the gap is at midnight
    "America/Santiago",  # the day ends with the gap
    "Africa/Cairo",  # the gap is at midnight, the repeated hour before it
    "Africa/Casablanca",  # clocks are set back for Ramadan, to an offset of zero
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Chatham",  # changes at 02:45 and 03:45
    "Antarctica/Troll",  # two hours
    "Asia/Kathmandu",  # an odd offset and no change
)
YEARS = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
BY_THE_MINUTE = (
    "30 2 * * *",
    "0 2,3 * * *",
    "0 0 * * *",
    "15,45 0-3 * * *",
    "50,10 23,0 * * *",
    "*/30 * * * *",
    "45 * * * *",
    "0 */2 * * *",
    "*/12 0 * * *",
    "10,50 */3 * * sun,5-6",
)
BY_THE_SECOND = (
    "0 30 2 * * *",
    "* 30 2 * * *",
    "*/20 0,30 0-3 * * *",
    "59,0 0,59 0,2,3,23 * * *",
    "0 45 * * * *",
    "30 15 */2 * * *",
    "*/20 */30 2 * * *",
)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some time in a zone: each instant with its wall time, and the first instant of each."""

    zone: str
    step: timedelta
    instants: tuple[tuple[datetime, datetime], ...]
    first_shown: dict[datetime, datetime]

    @property
    def start(self) -> datetime:
        return self.instants[0][0] - self.step

    @property
    def end(self) -> datetime:
        return self.instants[-1][0]

    def walls(self) -> Iterator[datetime]:
        """Yield each wall time, with those that are never shown."""
        wall, last = self.instants[0][1], self.instants[-1][1]
        while wall <= last:
            yield wall
            wall += self.step


def wall_time(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Return the instants of 2024 to 2027 from which on the zone has another offset."""
    found, at = [], YEARS[0]
    tz = ZoneInfo(zone)
    while at < YEARS[1]:
        later = at + timedelta(hours=6)
        if at.astimezone(tz).utcoffset() != later.astimezone(tz).utcoffset():
            minutes = (at + timedelta(minutes=m) for m in range(1, 361))
            old = at.astimezone(tz).utcoffset()
            found.append(next(m for m in minutes if m.astimezone(tz).utcoffset() != old))
        at = later
    return tuple(found)


def stretch(zone: str, middle: datetime, *, around: timedelta, step: timedelta) -> Stretch:
    instants = []
    first_shown: dict[datetime, datetime] = {}
    at = middle - around
    while at <= middle + around:
        wall = wall_time(at, zone)
        instants.append((at, wall))
        first_shown.setdefault(wall, at)
        at += step
    return Stretch(zone=zone, step=step, instants=tuple(instants), first_shown=first_shown)


def values(text: str, least: int, most: int) -> frozenset[int]:
    """Return what a field of stars, lists, ranges and steps stands for."""
    found: set[int] = set()
    for term in text.replace("sun", "0").split(","):
        span, _, step = term.partition("/")
        low, _, high = span.partition("-")
        first, last = (least, most) if span == "*" else (int(low), int(high or low))
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def expected_ticks(expression: str, on: Stretch) -> list[datetime]:
    """Return the ticks of the stretch by the rule as it is written down."""
    second, minute, hour, day, month, weekday = ("0 " + expression).split()[-6:]
    assert (day, month) == ("*", "*")
    seconds, minutes = values(second, 0, 59), values(minute, 0, 59)
    hours, weekdays = values(hour, 0, 23), values(weekday, 0, 6)

    def matches(wall: datetime) -> bool:
        return (
            wall.second in seconds
            and wall.minute in minutes
            and wall.hour in hours
            and wall.isoweekday() % 7 in weekdays
        )

    if minute.startswith("*") or hour.startswith("*"):
        return [at for at, wall in on.instants if matches(wall)]
    ticks = set()
    for wall in filter(matches, on.walls()):
        gap_ends = (at for at, shown in on.instants if shown > wall)
        ticks.add(on.first_shown.get(wall) or next(gap_ends))
    return sorted(ticks)


def assert_agrees(expression: str, on: Stretch) -> None:
    """Compare all the ways to find ticks with the oracle, from each tick and from between."""
    schedule = parse_schedule(expression, on.zone)
    expected = expected_ticks(expression, on)

    assert list(schedule.ticks_between(on.start, on.end)) == expected

    for previous, tick in pairwise([on.start, *expected]):
        nearly = tick - timedelta(microseconds=1)
        assert schedule.next_after(previous) == schedule.next_after(nearly) == tick
        assert schedule.latest_at_or_before(tick, after=on.start) == tick
        newest = schedule.latest_at_or_before(nearly, after=on.start)
        assert newest == (None if previous == on.start else previous)


@pytest.mark.no_cover
@pytest.mark.parametrize("zone", ZONES)
def test_five_fields_keep_the_rule_at_all_changes_of_four_years(zone: str) -> None:
    for middle in changes(zone) or YEARS:
        on = stretch(zone, middle, around=timedelta(hours=26), step=timedelta(minutes=1))
        for expression in BY_THE_MINUTE:
            assert_agrees(expression, on)


@pytest.mark.no_cover
@pytest.mark.parametrize("zone", ZONES)
def test_six_fields_keep_the_rule_at_all_changes_of_four_years(zone: str) -> None:
    for middle in changes(zone) or YEARS:
        shift = wall_time(middle, zone) - wall_time(middle - timedelta(hours=1), zone)
        around = abs(shift - timedelta(hours=1)) + timedelta(minutes=20)
        on = stretch(zone, middle, around=around, step=timedelta(seconds=1))
        for expression in BY_THE_SECOND:
            assert_agrees(expression, on)


def test_oracle_meets_every_change_of_the_zones() -> None:
    """So that the comparison can't be with nothing."""
    assert [len(changes(zone)) for zone in ZONES] == [8] * 9 + [0]


def ticks_on(expression: str, zone: str, *days: str) -> list[str]:
    """Return the ticks of these local days, as local times with their offsets."""
    tz = ZoneInfo(zone)
    first = datetime.fromisoformat(days[0]).replace(tzinfo=tz)
    behind = datetime.fromisoformat(days[-1]).replace(tzinfo=tz) + timedelta(days=1)
    schedule = parse_schedule(expression, zone)
    ticks = schedule.ticks_between(first - timedelta(seconds=1), behind - timedelta(seconds=1))
    return [tick.astimezone(tz).strftime("%d %H:%M:%S%z") for tick in ticks]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *", "* 30 2 * * *"])
def test_fixed_time_skipped_by_dst_fires_once_at_the_gap_end(expression: str) -> None:
    assert ticks_on(expression, "Europe/Berlin", "2026-03-29") == ["29 03:00:00+0200"]


@pytest.mark.parametrize("expression", ["0 2,3 * * *", "*/5 0-59 2 * * *", "0,15,30 2 * * *"])
def test_several_fixed_times_in_one_gap_fire_once_together(expression: str) -> None:
    assert ticks_on(expression, "Europe/Berlin", "2026-03-29") == ["29 03:00:00+0200"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_repeated_fixed_time_fires_once_at_its_first_occurrence(expression: str) -> None:
    assert ticks_on(expression, "Europe/Berlin", "2026-10-25") == ["25 02:30:00+0200"]


def test_every_second_of_a_repeated_fixed_minute_fires_in_the_first_pass_only() -> None:
    ticks = ticks_on("* 30 2 * * *", "Europe/Berlin", "2026-10-25")

    assert ticks == [f"25 02:30:{second:02}+0200" for second in range(60)]


@pytest.mark.parametrize("expression", ["30 * * * *", "0 30 * * * *"])
def test_real_time_schedule_fires_in_both_passes_of_a_repeated_hour(expression: str) -> None:
    ticks = ticks_on(expression, "Europe/Berlin", "2026-10-25")

    assert len(ticks) == 25
    assert ticks[2:4] == ["25 02:30:00+0200", "25 02:30:00+0100"]


@pytest.mark.parametrize("expression", ["*/30 2 * * *", "0 */30 2 * * *", "* */30 2 * * *"])
def test_real_time_schedule_does_not_make_up_for_a_gap(expression: str) -> None:
    assert ticks_on(expression, "Europe/Berlin", "2026-03-29") == []


@pytest.mark.parametrize("expression", ["0 9 * * *", "0 0 9 * * *"])
def test_day_that_a_zone_skipped_fires_once_at_its_end(expression: str) -> None:
    """Samoa left out 30 December 2011."""
    assert ticks_on(expression, "Pacific/Apia", "2011-12-29", "2011-12-31") == [
        "29 09:00:00-1000",
        "31 00:00:00+1400",
        "31 09:00:00+1400",
    ]


def test_half_an_hour_that_is_repeated_holds_its_ticks_twice_only_in_real_time() -> None:
    fixed = ticks_on("45 1 * * *", "Australia/Lord_Howe", "2026-04-05")
    real_time = ticks_on("45 */1 * * *", "Australia/Lord_Howe", "2026-04-05")

    assert fixed == ["05 01:45:00+1100"]
    assert real_time[1:3] == ["05 01:45:00+1100", "05 01:45:00+1030"]


def test_zone_with_an_odd_offset_fires_at_its_own_minutes() -> None:
    assert ticks_on("@daily", "Asia/Kathmandu", "2026-03-29") == ["29 00:00:00+0545"]


def test_next_tick_from_within_the_second_pass_is_not_in_the_past() -> None:
    at = datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))

    tick = parse_schedule("30 2 * * *", "Europe/Berlin").next_after(at)

    assert tick == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
