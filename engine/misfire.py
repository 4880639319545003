"""What becomes of ticks that were missed while nothing was running (pure)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.cron import Schedule
from models.enums import MisfirePolicy

COUNT_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A range of ticks that is not sent: the oldest, the newest, and how many (10,000 at most)."""

    oldest: datetime
    newest: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """What to do about a gap: the ticks to fire, oldest first, and the range skipped before."""

    fired: tuple[datetime, ...]
    skipped: Skipped | None


def plan_catch_up(
    schedule: Schedule,
    *,
    cursor: datetime,
    until: datetime,
    policy: MisfirePolicy,
    grace_seconds: int,
    fire_all_limit: int,
) -> CatchUp | None:
    """Return what to do about the ticks in (cursor, until]; None if there are none.

    FIRE_ONCE fires the newest tick if it is at most `grace_seconds` old; FIRE_ALL those that are,
    the newest `fire_all_limit` of them. All others lie before the fired ones, in one range.
    """
    newest = schedule.latest_at_or_before(until, after=cursor)
    if newest is None:
        return None
    limit = {MisfirePolicy.SKIP: 0, MisfirePolicy.FIRE_ONCE: 1}.get(policy, fire_all_limit)
    fired: list[datetime] = []
    tick: datetime | None = newest
    grace_from = until - timedelta(seconds=grace_seconds)
    while tick is not None and tick >= grace_from and len(fired) < limit:
        fired.append(tick)
        tick = schedule.latest_at_or_before(tick - timedelta(seconds=1), after=cursor)
    fired.reverse()
    return CatchUp(
        fired=tuple(fired), skipped=_range(schedule, cursor, tick) if tick is not None else None
    )


def _range(schedule: Schedule, cursor: datetime, newest: datetime) -> Skipped:
    return Skipped(
        oldest=schedule.next_after(cursor),
        newest=newest,
        count=schedule.count_between(cursor, newest, at_most=COUNT_LIMIT),
    )
