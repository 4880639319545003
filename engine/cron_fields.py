"""The fields of a cron expression: macros, what each takes, and the times that they stand for."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final, Self

from cronsim import CronSim, CronSimError

from engine.errors import InvalidSchedule
from engine.masking import mask_words

MAX_EXPRESSION_CHARS: Final = 120

MACROS: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS: Final = (
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, L (the last day) or LW (the last weekday)"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT, also 5L (the last Friday) or MON#2 (the second Monday)"),
)
# Whether fields can be read does not depend on the time.
_ANY_TIME: Final = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimesOfDay:
    """The times at which a schedule fires on a matching day, each list sorted."""

    hours: Sequence[int]
    minutes: Sequence[int]
    seconds: Sequence[int]
    matches: Callable[[date], bool]

    @classmethod
    def of(cls, fields: str) -> Self:
        """Return the times of readable fields."""
        parsed = CronSim(fields, _ANY_TIME)
        return cls(
            hours=sorted(parsed.hours),
            minutes=sorted(parsed.minutes),
            seconds=sorted(parsed.seconds),
            matches=lambda day: day.month in parsed.months and parsed.match_day(day),
        )

    def count_on(self, day: date, after: datetime, until: datetime) -> int:
        """Return how many times of the day lie in (`after`, `until`] by the wall clock.

        `until` lies on the day; `after` may lie before it.
        """
        if not self.matches(day):
            return 0
        before = self._count_until(after.time()) if after.date() == day else 0
        return self._count_until(until.time()) - before

    def _count_until(self, at: time) -> int:
        per_minute = len(self.seconds)
        count = bisect_left(self.hours, at.hour) * len(self.minutes) * per_minute
        if at.hour in self.hours:
            count += bisect_left(self.minutes, at.minute) * per_minute
            if at.minute in self.minutes:
                count += bisect_right(self.seconds, at.second)
        return count


def parse_fields(given: str) -> str:
    """Return the five or six fields that a stripped expression stands for.

    Raises InvalidSchedule, whose message says what is wrong.
    """
    if len(given) > MAX_EXPRESSION_CHARS:
        raise InvalidSchedule(f"A schedule has at most {MAX_EXPRESSION_CHARS} characters.")
    if not given.isascii():
        raise InvalidSchedule("A schedule holds only ASCII letters, digits and signs.")
    if given.startswith("@"):
        if given.lower() not in MACROS:
            raise InvalidSchedule(
                f"The macro {mask_words(given)!r} is unknown; use {', '.join(MACROS)}."
            )
        return MACROS[given.lower()]
    fields = given.split()
    if len(fields) not in (5, 6):
        raise InvalidSchedule(
            "A schedule has 5 fields (minute, hour, day of month, month, day of week) "
            f"or 6 (second first), not {len(fields)}."
        )
    if not _is_readable(fields):
        raise InvalidSchedule(_explain_refusal(fields))
    return given


def _is_readable(fields: Sequence[str]) -> bool:
    try:
        CronSim(" ".join(fields), _ANY_TIME)
    except CronSimError:
        return False
    return True


def _explain_refusal(fields: Sequence[str]) -> str:
    """Return what is wrong with the fields, found by trying each one alone."""
    for position, (name, takes) in enumerate(_FIELDS[-len(fields) :]):
        alone = ["*"] * len(fields)
        alone[position] = fields[position]
        if not _is_readable(alone):
            return (
                f"The {name} {mask_words(fields[position])!r} can't be read: it takes {takes}; "
                "as one value, a list (1,3), a range (1-5), a step (*/2) or *."
            )
    return "This schedule never fires: none of its months has such a day."
