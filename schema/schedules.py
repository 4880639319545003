"""Upcoming runs of the schedules that tasks are stored with."""

from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice

from engine.cron import parse_schedule
from engine.errors import InvalidSchedule
from engine.timetable import Timetable

# As many as there are tasks on many pages; a schedule takes about a kilobyte.
REMEMBERED = 4096
_END = datetime.max.replace(tzinfo=UTC)


@lru_cache(maxsize=REMEMBERED)
def _parsed(expression: str, timezone: str) -> Timetable:
    return Timetable(parse_schedule(expression, timezone))


@lru_cache(maxsize=REMEMBERED)
def describe(expression: str, timezone: str) -> str:
    """Return the schedule in English; of one that can't be read any more, why."""
    try:
        return _parsed(expression, timezone).schedule.description
    except InvalidSchedule as error:
        return str(error)


def next_runs(expression: str, timezone: str, *, after: datetime, count: int) -> list[datetime]:
    """Return the next ticks, none for a schedule that can't be read any more."""
    try:
        timetable = _parsed(expression, timezone)
        first = timetable.next_after(after)  # which it remembers until then
        later = timetable.schedule.ticks_between(first, _END)
        return [first, *islice(later, count - 1)]
    except InvalidSchedule:
        return []
