from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.cron import Schedule, parse_schedule
from engine.errors import InvalidSchedule

settings.register_profile("cron", max_examples=100, deadline=None, database=None)
PROFILE = settings.get_profile("cron")

ZONES = (
    "Europe/Berlin",
    "America/Havana",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Tehran",
)
# Instants of a change: two of Berlin, then Havana, Lord Howe, Troll.
CHANGES = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 11, 1, 5, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2025, 10, 26, 1, tzinfo=UTC),
)


def values(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, most)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.lists(number, min_size=2, max_size=3).map(lambda some: ",".join(map(str, some))),
        span,
        st.tuples(st.one_of(st.just("*"), span), step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )


# Hours and days near the changes, so that these matter.
dates = st.sampled_from(["* * *", "* * sun", "25-29 * *", "1 * *", "L * *", "* 3,10 *", "* * 7L"])
expressions = st.builds(
    "{}{} {} {}".format,
    st.one_of(st.just(""), values(0, 59).map(lambda second: f"{second} ")),
    values(0, 59),
    st.one_of(values(0, 4), values(0, 23)),
    dates,
)
instants = st.one_of(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds must be naive
    st.builds(
        lambda change, seconds: change + timedelta(seconds=seconds),
        st.sampled_from(CHANGES),
        st.one_of(st.integers(-9000, 9000), st.floats(-9000, 9000)),
    ),
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    try:
        return parse_schedule(draw(expressions), draw(st.sampled_from(ZONES)))
    except InvalidSchedule:
        assume(False)
        raise


@settings(PROFILE)
@given(schedules(), instants)
def test_ticks_are_whole_seconds_of_utc_and_rise_strictly(schedule: Schedule, at: datetime) -> None:
    ticks = [at]
    for _ in range(6):
        ticks.append(schedule.next_after(ticks[-1]))

    assert all(earlier < later for earlier, later in pairwise(ticks))
    assert all(tick.tzinfo is UTC and tick.microsecond == 0 for tick in ticks[1:])


@settings(PROFILE)
@given(schedules(), instants)
def test_both_directions_find_the_same_ticks(schedule: Schedule, at: datetime) -> None:
    tick = schedule.next_after(at)
    nearly = tick - timedelta(microseconds=1)

    assert schedule.latest_at_or_before(tick, after=at) == tick
    assert schedule.latest_at_or_before(nearly, after=at) is None
    previous = schedule.latest_at_or_before(nearly, after=datetime(1970, 1, 1, tzinfo=UTC))
    assert previous is not None
    assert previous <= at
    assert schedule.next_after(previous) == tick


@settings(PROFILE)
@given(schedules(), instants)
def test_ticks_between_are_those_found_one_by_one(schedule: Schedule, at: datetime) -> None:
    one_by_one = [schedule.next_after(at)]
    for _ in range(20):
        one_by_one.append(schedule.next_after(one_by_one[-1]))

    assert list(schedule.ticks_between(at, one_by_one[-1])) == one_by_one
    assert list(schedule.ticks_between(at, one_by_one[3])) == one_by_one[:4]


@settings(PROFILE)
@given(schedules(), instants)
def test_tick_shows_a_matching_wall_time_or_ends_a_gap(schedule: Schedule, at: datetime) -> None:
    tick = schedule.next_after(at).astimezone(ZoneInfo(schedule.timezone))
    wall = tick.replace(tzinfo=None, fold=0)

    before = (tick.astimezone(UTC) - timedelta(seconds=1)).astimezone(tick.tzinfo)
    is_gap_end = wall - before.replace(tzinfo=None, fold=0) > timedelta(seconds=1)
    matches = next(CronSim(schedule.expression, wall - timedelta(seconds=1))) == wall
    assert matches or is_gap_end


@settings(PROFILE)
@given(expressions, instants)
def test_ticks_in_utc_are_those_of_cronsim(expression: str, at: datetime) -> None:
    schedule = parse_schedule(expression, "UTC")

    found = list(islice(schedule.ticks_between(at, at + timedelta(days=4000)), 5))

    expected = takewhile(lambda tick: tick <= at + timedelta(days=4000), CronSim(expression, at))
    assert found == list(islice(expected, 5))


@settings(PROFILE)
@given(expressions)
def test_no_two_ticks_are_closer_than_the_shortest_interval(expression: str) -> None:
    schedule = parse_schedule(expression, "UTC")
    start = datetime(2027, 2, 25, tzinfo=UTC)
    ticks = islice(schedule.ticks_between(start, start + timedelta(days=800)), 100)

    shortest = schedule.shortest_interval_seconds()

    assert all((b - a).total_seconds() >= shortest for a, b in pairwise(ticks))


@settings(PROFILE, max_examples=200)
@given(
    st.one_of(
        st.text(max_size=130),
        st.text("0123456789*/,-#LW SUNMOJAYlw?@", max_size=40),
        st.lists(st.text("0159*/,-#LW", min_size=1, max_size=5), min_size=5, max_size=6).map(
            " ".join
        ),
    ),
    st.one_of(st.just("UTC"), st.text(max_size=20)),
)
def test_any_text_is_either_a_schedule_or_refused_in_words(expression: str, timezone: str) -> None:
    try:
        schedule = parse_schedule(expression, timezone)
    except InvalidSchedule as error:
        words = str(error)
    else:
        words = f"{schedule.description}."
        assert schedule.shortest_interval_seconds() >= 1

    assert words.endswith((".", "?"))
    assert len(words) > 10


@settings(PROFILE)
@given(schedules(), instants, st.timedeltas(timedelta(0), timedelta(days=9)), st.integers(1, 400))
def test_counted_ticks_are_those_that_a_walk_finds(
    schedule: Schedule, after: datetime, length: timedelta, at_most: int
) -> None:
    walked = list(islice(schedule.ticks_between(after, after + length), at_most))

    assert schedule.count_between(after, after + length, at_most=at_most) == len(walked)
