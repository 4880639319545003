"""Schedules shared by the tasks that have the same one."""

from datetime import UTC, datetime
from weakref import WeakValueDictionary

from engine.cron import Schedule, parse_schedule

_NEVER_ASKED = datetime.max.replace(tzinfo=UTC)


class Timetable:
    """A schedule that remembers its last answer: those who share it tick at the same instants."""

    __slots__ = ("__weakref__", "_asked", "_next", "schedule")

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._asked = self._next = _NEVER_ASKED

    @property
    def expression(self) -> str:
        """The schedule as it was given."""
        return self.schedule.expression

    def next_after(self, at: datetime) -> datetime:
        """Return the first tick that is strictly later than `at`, as the schedule would."""
        # No tick lies between what was asked and what was answered.
        if not self._asked <= at < self._next:
            self._next = self.schedule.next_after(at)
            self._asked = at
        return self._next


class Timetables:
    """The timetables in use; each goes when nobody has it any more."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[str, str], Timetable] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, expression: str, timezone: str) -> Timetable:
        """Return the timetable of a cron expression in an IANA zone.

        Raises:
            InvalidSchedule: as `parse_schedule` does.
        """
        key = (expression, timezone)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Timetable(parse_schedule(expression, timezone))
        return known
