"""What becomes of missed ticks: each is fired or lies in the one range that is skipped."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from engine.cron import parse_schedule
from engine.misfire import COUNT_LIMIT, CatchUp, Skipped, plan_catch_up
from models.enums import MisfirePolicy

SKIP, FIRE_ONCE, FIRE_ALL = MisfirePolicy.SKIP, MisfirePolicy.FIRE_ONCE, MisfirePolicy.FIRE_ALL
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
A_DAY_SECONDS = 86_400


def after_noon(seconds: float) -> datetime:
    """Return the instant so many seconds after NOON."""
    return NOON + timedelta(seconds=seconds)


def plan(
    policy: MisfirePolicy,
    *,
    until: datetime,
    cursor: datetime = NOON,
    schedule: str = "* * * * *",
    timezone: str = "UTC",
    grace_seconds: int = A_DAY_SECONDS,
    fire_all_limit: int = 100,
) -> CatchUp | None:
    """Plan for a task that ticks every minute, unless the schedule says otherwise."""
    return plan_catch_up(
        parse_schedule(schedule, timezone),
        cursor=cursor,
        until=until,
        policy=policy,
        grace_seconds=grace_seconds,
        fire_all_limit=fire_all_limit,
    )


@pytest.mark.parametrize("policy", MisfirePolicy)
@pytest.mark.parametrize("seconds", [0, 59.999999])
def test_gap_without_a_tick_needs_no_plan(policy: MisfirePolicy, seconds: float) -> None:
    """The tick at the cursor itself is accounted for."""
    assert plan(policy, until=after_noon(seconds)) is None


def test_skip_fires_nothing_and_tells_the_whole_range() -> None:
    assert plan(SKIP, until=after_noon(330)) == CatchUp(
        fired=(), skipped=Skipped(oldest=after_noon(60), newest=after_noon(300), count=5)
    )


def test_fire_once_fires_the_newest_and_skips_the_others() -> None:
    assert plan(FIRE_ONCE, until=after_noon(330)) == CatchUp(
        fired=(after_noon(300),),
        skipped=Skipped(oldest=after_noon(60), newest=after_noon(240), count=4),
    )


def test_fire_all_fires_every_tick_oldest_first() -> None:
    assert plan(FIRE_ALL, until=after_noon(210)) == CatchUp(
        fired=(after_noon(60), after_noon(120), after_noon(180)), skipped=None
    )


def test_single_missed_tick_that_is_fired_leaves_no_range() -> None:
    assert plan(FIRE_ONCE, until=after_noon(90)) == CatchUp(fired=(after_noon(60),), skipped=None)


def test_single_missed_tick_that_is_skipped_is_a_range_of_one() -> None:
    tick = after_noon(60)

    assert plan(SKIP, until=after_noon(90)) == CatchUp(
        fired=(), skipped=Skipped(oldest=tick, newest=tick, count=1)
    )


@pytest.mark.parametrize("policy", [FIRE_ONCE, FIRE_ALL])
@pytest.mark.parametrize(("microseconds_late", "fires"), [(0, True), (1, False)])
def test_tick_is_fired_if_it_is_at_most_the_grace_time_old(
    policy: MisfirePolicy, microseconds_late: int, fires: bool
) -> None:
    until = after_noon(60 + 30) + timedelta(microseconds=microseconds_late)

    catch_up = plan(policy, until=until, grace_seconds=30)

    assert catch_up is not None
    assert catch_up.fired == ((after_noon(60),) if fires else ())


@pytest.mark.parametrize("policy", [FIRE_ONCE, FIRE_ALL])
def test_no_grace_time_fires_only_a_tick_of_this_very_moment(policy: MisfirePolicy) -> None:
    now = plan(policy, until=after_noon(60), grace_seconds=0)
    later = plan(policy, until=after_noon(60.001), grace_seconds=0)

    assert now is not None
    assert now.fired == (after_noon(60),)
    assert later is not None
    assert later.fired == ()


def test_fire_all_skips_what_is_older_than_the_grace_time() -> None:
    assert plan(FIRE_ALL, until=after_noon(330), grace_seconds=150) == CatchUp(
        fired=(after_noon(180), after_noon(240), after_noon(300)),
        skipped=Skipped(oldest=after_noon(60), newest=after_noon(120), count=2),
    )


@pytest.mark.parametrize(
    ("limit", "fired", "skipped"), [(1, 1, 4), (4, 4, 1), (5, 5, 0), (6, 5, 0)]
)
def test_fire_all_fires_the_newest_up_to_its_limit(limit: int, fired: int, skipped: int) -> None:
    catch_up = plan(FIRE_ALL, until=after_noon(330), fire_all_limit=limit)

    assert catch_up is not None
    assert catch_up.fired == tuple(after_noon(360 - 60 * n) for n in range(fired, 0, -1))
    assert (catch_up.skipped.count if catch_up.skipped else 0) == skipped


@pytest.mark.parametrize(
    ("ticks", "count"),
    [
        (COUNT_LIMIT - 1, COUNT_LIMIT - 1),
        (COUNT_LIMIT, COUNT_LIMIT),
        (COUNT_LIMIT + 1, COUNT_LIMIT),
        (3 * COUNT_LIMIT, COUNT_LIMIT),
    ],
)
def test_counting_stops_but_the_ends_of_the_range_are_true(ticks: int, count: int) -> None:
    assert COUNT_LIMIT == 10_000

    catch_up = plan(SKIP, until=after_noon(ticks), schedule="* * * * * *")

    assert catch_up == CatchUp(
        fired=(), skipped=Skipped(oldest=after_noon(1), newest=after_noon(ticks), count=count)
    )


@pytest.mark.parametrize("policy", MisfirePolicy)
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("grace_seconds", [0, 7_200, A_DAY_SECONDS])
@pytest.mark.parametrize("schedule", ["30 2 * * *", "*/20 * * * *", "0 30 1-3 * * *"])
@pytest.mark.parametrize(
    "until",
    [
        datetime(2030, 3, 31, 1, 0, tzinfo=UTC),  # the gap's end in Berlin
        datetime(2030, 10, 27, 0, 30, tzinfo=UTC),  # 02:30 for the first time
        datetime(2030, 10, 27, 1, 45, tzinfo=UTC),  # after 02:30 for the second time
        datetime(2030, 6, 1, tzinfo=UTC),
    ],
)
def test_every_missed_tick_is_fired_or_in_the_range_before(
    policy: MisfirePolicy, limit: int, grace_seconds: int, schedule: str, until: datetime
) -> None:
    cursor = until - timedelta(days=3, minutes=7)

    catch_up = plan(
        policy,
        until=until,
        cursor=cursor,
        schedule=schedule,
        timezone="Europe/Berlin",
        grace_seconds=grace_seconds,
        fire_all_limit=limit,
    )

    missed = list(parse_schedule(schedule, "Europe/Berlin").ticks_between(cursor, until))
    assert catch_up is not None
    fired, skipped = catch_up.fired, catch_up.skipped
    assert list(fired) == missed[len(missed) - len(fired) :]
    assert all(earlier < later for earlier, later in pairwise(fired))
    rest = missed[: len(missed) - len(fired)]
    expected = Skipped(oldest=rest[0], newest=rest[-1], count=len(rest)) if rest else None
    assert skipped == expected
