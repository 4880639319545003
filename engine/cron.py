"""Cron schedules in IANA time zones: parsing, ticks in both directions, one DST rule.

cronsim only walks the naive wall clock, where five and six fields behave alike. What a change of
the UTC offset does to a wall time is decided here:

- A schedule with fixed times runs each wall time once. A skipped one fires at the gap's end (all
  of one gap give one tick), a repeated one at its first occurrence.
- A schedule in real time, whose minute or hour field starts with `*`, runs whenever the wall clock
  shows a matching time: never in a gap, and in both passes of a repeated hour.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from itertools import chain, islice, pairwise, takewhile
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from engine.cron_fields import TimesOfDay, parse_fields
from engine.errors import InvalidSchedule
from engine.masking import mask_words

SEARCH_YEARS: Final = 50
"""How far ticks are searched, in years; cronsim gives up after the same time."""

_SECOND: Final = timedelta(seconds=1)
_DAY_SECONDS: Final = 86_400
# A fixed start of searches: within 28 years every kind of year comes up, whenever they begin.
_REFERENCE: Final = datetime(2025, 1, 1, tzinfo=UTC)
_ALL_KINDS_OF_YEAR: Final = timedelta(days=28 * 365 + 7)


class UnknownZone(InvalidSchedule):
    """The time zone is not in the IANA database; the message says so, fit for a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A cron expression in a time zone, made by `parse_schedule`.

    Instants are given as aware datetimes of any zone, ticks come back in UTC as whole seconds.
    """

    expression: str
    timezone: str
    _fields: str = field(repr=False, compare=False)
    _zone: ZoneInfo = field(repr=False, compare=False)
    _real_time: bool = field(repr=False, compare=False)

    @property
    def description(self) -> str:
        """Return the schedule in English: `At 09:00 on Monday through Friday`."""
        text = CronSim(self._fields, _REFERENCE).explain()
        text = re.sub(r"\b([Ee]very) second (?=second|minute|hour|day|month)", r"\1 other ", text)
        return re.sub(r"\b([2-5])([123])th\b", _ordinal, text)

    def next_after(self, at: datetime) -> datetime:
        """Return the first tick that is strictly later than `at`.

        Raises InvalidSchedule when there is none in the next 50 years.
        """
        ticks = [
            tick
            for fold, wall in self._reached(at, ordinary_fold=0)
            if (tick := self._walk(wall, fold, reverse=False)) is not None
        ]
        if not ticks:
            raise InvalidSchedule("This schedule never fires.")
        return min(ticks)

    def latest_at_or_before(self, at: datetime, *, after: datetime) -> datetime | None:
        """Return the newest tick in (`after`, `at`], searched backwards, or None."""
        # Of an hour that was repeated before `at`, the second pass is the newer one.
        ticks = [
            tick
            for fold, wall in self._reached(at, ordinary_fold=int(self._real_time))
            if (tick := self._walk(wall + _SECOND, fold, reverse=True)) is not None
        ]
        newest = max(ticks, default=after)
        return newest if newest > after else None

    def ticks_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Return the ticks in (`after`, `until`], oldest first, each found when asked for."""
        return takewhile(lambda tick: tick <= until, self._ticks_after(after))

    def count_between(self, after: datetime, until: datetime, *, at_most: int) -> int:
        """Return how many ticks lie in (`after`, `until`], counted up to `at_most`.

        Days whose UTC offset stays the same are reckoned, not walked.
        """
        times = TimesOfDay.of(self._fields)
        count, begin = 0, after
        while begin < until and count < at_most:
            day = _wall(begin + _SECOND, self._zone).date()
            last = min(until, _last_second(day, self._zone))
            if _is_ordinary(day, self._zone):
                walls = _wall(begin, self._zone), _wall(last, self._zone)
                count += times.count_on(day, *walls)
            else:
                rest = at_most - count
                count += sum(1 for _ in islice(self.ticks_between(begin, last), rest))
            begin = last
        return min(count, at_most)

    def shortest_interval_seconds(self) -> float:
        """Return the shortest time between two ticks by the wall clock, leaving DST aside.

        A day's times are all combinations of its hours, minutes and seconds, so the closest two
        lie in one minute or on the two sides of a minute, an hour or a day that ends. There the
        gap is that of the closest pair of this unit, less the span of the smaller units.
        """
        parsed = CronSim(self._fields, _REFERENCE)
        shortest, span = float("inf"), 0
        for values, unit in ((parsed.seconds, 1), (parsed.minutes, 60), (parsed.hours, 3_600)):
            ordered = sorted(values)
            shortest = min([shortest, *(unit * (b - a) - span for a, b in pairwise(ordered))])
            span += unit * (ordered[-1] - ordered[0])
        if shortest <= _DAY_SECONDS - span:
            return shortest
        return min(shortest, _closest_days(self._fields) * _DAY_SECONDS - span)

    def _ticks_after(self, at: datetime) -> Iterator[datetime]:
        """Yield all ticks later than `at`, found in one walk between two changes of the offset."""
        while True:
            at = self.next_after(at)
            yield at
            wall = _wall(at, self._zone)
            first, second = _instants(wall, self._zone)
            walls = CronSim(self._fields, wall)
            while first == second and (found := next(walls, None)) is not None:
                first, second = _instants(found, self._zone)
                if first == second:
                    at = first
                    yield at

    def _reached(self, at: datetime, *, ordinary_fold: int) -> Sequence[tuple[int, datetime]]:
        """Return the newest wall time that isn't later than `at`, for each fold that counts.

        The first and the second pass differ only where the wall time of `at` is repeated.
        """
        local = at.astimezone(self._zone)
        wall = local.replace(tzinfo=None, microsecond=0, fold=0)
        first, second = _instants(wall, self._zone)
        if first >= second:
            return ((ordinary_fold, wall),)
        change = _offset_change(first, second, self._zone)
        if local.fold:
            walls = (_wall(change - _SECOND, self._zone), wall)
        else:
            walls = (wall, _wall(change, self._zone) - _SECOND)
        return tuple(enumerate(walls)) if self._real_time else ((0, walls[0]),)

    def _walk(self, start: datetime, fold: int, *, reverse: bool) -> datetime | None:
        """Return the tick of the nearest matching wall time past `start`, in the pass `fold`."""
        wall = start
        while True:
            found = next(CronSim(self._fields, wall, reverse=reverse), None)
            if found is None or abs(found.year - start.year) > SEARCH_YEARS:
                return None
            first, second = _instants(found, self._zone)
            if first <= second:
                return second if fold else first
            change = _offset_change(second, first, self._zone)
            if not self._real_time:
                return change
            # The rest of the gap can't fire either: go on from its other side.
            before, behind = _wall(change - _SECOND, self._zone), _wall(change, self._zone)
            wall = before + _SECOND if reverse else behind - _SECOND


def parse_schedule(expression: str, timezone: str) -> Schedule:
    """Return the schedule of a cron expression in an IANA zone.

    Takes five fields, six with seconds first, or one of MACROS. Raises UnknownZone first, then
    InvalidSchedule for what can't be read, is too long, or can never fire.
    """
    zone = _parse_zone(timezone)
    given = expression.strip()
    fields = parse_fields(given)
    minute, hour = fields.split()[-5:-3]
    schedule = Schedule(
        expression=given,
        timezone=zone.key,
        _fields=fields,
        _zone=zone,
        _real_time=minute.startswith("*") or hour.startswith("*"),
    )
    schedule.next_after(_REFERENCE)
    return schedule


def _parse_zone(name: str) -> ZoneInfo:
    """Return the zone of that exact IANA name.

    The names are those of the tzdata package, alike on every platform: a system's own database
    also opens files such as `localtime` and `right/UTC`, and on some disks `europe/berlin`.
    """
    if name in _zone_names():
        return ZoneInfo(name)
    near = get_close_matches(name[:64].title(), _zone_names(), n=1, cutoff=0.7)
    hint = f"did you mean {near[0]}?" if near else "use one such as Europe/Berlin or UTC."
    shown = mask_words(name)[:64]
    raise UnknownZone(f"{shown!r} is not the name of an IANA time zone; {hint}")


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


def _closest_days(fields: str) -> int:
    """Return the fewest days between two that match: every schedule fires again in 28 years."""
    days = CronSim("0 0 " + " ".join(fields.split()[-3:]), _REFERENCE)
    first = next(days)
    until = first + _ALL_KINDS_OF_YEAR
    closest = _ALL_KINDS_OF_YEAR.days
    for day, following in pairwise(chain([first], takewhile(lambda day: day <= until, days))):
        closest = min(closest, (following - day).days)
        if closest == 1:
            break
    return closest


def _instants(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the instants of a wall time by the offset before and after a change.

    They are equal for an ordinary wall time, rising for a repeated, falling for a skipped one.
    """
    aware = wall.replace(tzinfo=zone)
    return aware.astimezone(UTC), aware.replace(fold=1).astimezone(UTC)


def _offset_change(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant in (`early`, `late`] with another UTC offset than `early` has."""
    offset = early.astimezone(zone).utcoffset()
    seconds = bisect_left(
        range(int((late - early).total_seconds())),
        True,
        key=lambda second: (early + second * _SECOND).astimezone(zone).utcoffset() != offset,
    )
    return early + seconds * _SECOND


def _is_ordinary(day: date, zone: ZoneInfo) -> bool:
    """Return whether the offset is the same at both ends of the day."""
    midnights = (datetime.combine(d, time(), zone) for d in (day, day + timedelta(days=1)))
    return len({midnight.utcoffset() for midnight in midnights}) == 1


def _last_second(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC) - _SECOND


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _ordinal(match: re.Match[str]) -> str:
    """Return 21st for cronsim's 21th."""
    tens, ones = match.groups()
    return tens + ones + {"1": "st", "2": "nd", "3": "rd"}[ones]
