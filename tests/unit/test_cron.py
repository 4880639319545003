from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise

import pytest

from engine.cron import UnknownZone, parse_schedule
from engine.cron_fields import MACROS
from engine.errors import InvalidSchedule


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


AT = utc("2026-03-11 10:30:15")
LONG_AGO = utc("1970-01-02 00:00")


def refusal(expression: str, timezone: str = "UTC") -> str:
    with pytest.raises(InvalidSchedule) as caught:
        parse_schedule(expression, timezone)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "2026-03-11 10:31"),
        ("0 9 * * mon-fri", "2026-03-12 09:00"),
        ("*/20 * * * * *", "2026-03-11 10:30:20"),
        ("15 30 10 * * *", "2026-03-12 10:30:15"),
        ("0 0 L * *", "2026-03-31 00:00"),
        ("0 0 LW 5 *", "2026-05-29 00:00"),
        ("0 0 * * 5L", "2026-03-27 00:00"),
        ("0 0 * * FRI#1", "2026-04-03 00:00"),
        ("0 0 13 * 5", "2026-03-13 00:00"),
        ("0 0 * * 7", "2026-03-15 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@annually", "2027-01-01 00:00"),
        ("@monthly", "2026-04-01 00:00"),
        ("@weekly", "2026-03-15 00:00"),
        ("@daily", "2026-03-12 00:00"),
        ("@midnight", "2026-03-12 00:00"),
        ("@HOURLY", "2026-03-11 11:00"),
    ],
)
def test_next_tick_is_the_first_match_later_than_the_instant(
    expression: str, expected: str
) -> None:
    assert parse_schedule(expression, "UTC").next_after(AT) == utc(expected)


def test_tick_at_the_instant_itself_is_not_later_than_it() -> None:
    schedule = parse_schedule("* * * * * *", "UTC")

    assert schedule.next_after(AT) == AT + timedelta(seconds=1)
    assert schedule.next_after(AT - timedelta(microseconds=1)) == AT
    assert schedule.next_after(AT + timedelta(microseconds=1)) == AT + timedelta(seconds=1)


def test_instant_may_be_given_in_any_zone_and_ticks_come_in_utc() -> None:
    schedule = parse_schedule("0 12 * * *", "Asia/Kathmandu")

    tick = schedule.next_after(AT.astimezone(timezone(timedelta(hours=-11))))

    assert tick == utc("2026-03-12 06:15")
    assert tick.tzinfo is UTC


def test_latest_tick_includes_the_instant_and_excludes_the_lower_bound() -> None:
    schedule = parse_schedule("*/15 * * * *", "UTC")
    tick = utc("2026-03-11 10:30")

    assert schedule.latest_at_or_before(tick, after=LONG_AGO) == tick
    assert schedule.latest_at_or_before(AT, after=LONG_AGO) == tick
    assert schedule.latest_at_or_before(AT, after=tick) is None
    before = tick - timedelta(microseconds=1)
    assert schedule.latest_at_or_before(before, after=LONG_AGO) == tick - timedelta(minutes=15)
    assert schedule.latest_at_or_before(before, after=before) is None


def test_ticks_between_excludes_the_start_and_includes_the_end() -> None:
    schedule = parse_schedule("0 * * * *", "UTC")
    start, end = utc("2026-03-11 10:00"), utc("2026-03-11 13:00")

    ticks = list(schedule.ticks_between(start, end))

    assert [tick.hour for tick in ticks] == [11, 12, 13]
    assert list(schedule.ticks_between(end, start)) == []


def test_ticks_between_finds_them_only_as_they_are_asked_for() -> None:
    ticks = parse_schedule("* * * * * *", "UTC").ticks_between(LONG_AGO, AT)

    assert [tick.second for tick in islice(ticks, 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("expression", "years"),
    [
        ("0 0 29 2 *", (2028, 2032, 2036)),
        ("0 0 29 2 */7", (2032, 2060, 2088, 2128)),
        ("0 0 * 2 1#5", (2044, 2072, 2112)),
        ("0 0 29 2 1#5", (2028, 2032, 2036)),
    ],
)
def test_rare_schedule_fires_in_its_years(expression: str, years: tuple[int, ...]) -> None:
    schedule = parse_schedule(expression, "Europe/Berlin")
    at = AT

    for year in years:
        at = schedule.next_after(at)
        assert at.year == year


def test_rare_tick_is_found_backwards_over_forty_years() -> None:
    schedule = parse_schedule("0 0 29 2 */7", "UTC")
    at = utc("2128-02-28 00:00")

    assert schedule.latest_at_or_before(at, after=AT) == utc("2088-02-29 00:00")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("60 * * * *", ("minute '60'", "0 to 59")),
        ("x 9 * * *", ("minute 'x'",)),
        ("*/0 * * * *", ("minute '*/0'",)),
        ("1,,2 * * * *", ("minute '1,,2'",)),
        ("0 24 * * *", ("hour '24'", "0 to 23")),
        ("0 0 32 * *", ("day of month '32'", "1 to 31")),
        ("0 0 15W * *", ("day of month '15W'",)),
        ("0 0 L-3 * *", ("day of month 'L-3'",)),
        ("0 0 ? * *", ("day of month '?'",)),
        ("0 0 * 13 *", ("month '13'", "JAN to DEC")),
        ("0 0 * * 8", ("day of week '8'", "SUN to SAT")),
        ("0 0 * * 5-1", ("day of week '5-1'",)),
        ("0 0 * * mon#6", ("day of week 'mon#6'",)),
        ("61 0 0 * * *", ("second '61'", "0 to 59")),
        ("0 60 0 * * *", ("minute '60'",)),
        ("0 0 * * *\x00", ("day of week '*\\x00'",)),
        ("", ("5 fields", "not 0")),
        ("* * * *", ("5 fields", "not 4")),
        ("0 0 0 1 1 * 2026", ("6 (second first)", "not 7")),
        ("@every", ("'@every'", "@hourly")),
        ("@daily 5", ("'@daily 5'",)),
        ("@reboot", ("'@reboot'",)),
        ("* * * * \u017fun", ("ASCII",)),
        ("\uff10 * * * *", ("ASCII",)),
    ],
)
def test_unreadable_expression_is_refused_with_what_it_takes(
    expression: str, words: tuple[str, ...]
) -> None:
    message = refusal(expression)

    assert all(word in message for word in words), message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 30 2 *",
        "0 0 0 30 2 *",
        "0 0 31 feb,apr,jun *",
        "* * 31 2 *",
        "* * * 31 2 *",
        "0 0 LW 2 */7",
        "0 0 */29 2 1#5",
    ],
)
def test_schedule_that_can_never_fire_is_refused(expression: str) -> None:
    assert "never fires" in refusal(expression)


def test_real_time_schedule_that_only_meets_gaps_can_never_fire() -> None:
    """In Berlin the hour from 02:00 is skipped on each last Sunday of March."""
    assert "never fires" in refusal("*/5 2 * 3 7L", "Europe/Berlin")
    assert parse_schedule("*/5 2 * 3 7L", "UTC").next_after(AT).day == 29


def test_expression_may_have_120_characters_and_no_more() -> None:
    minutes = ",".join(str(minute) for minute in range(10, 46))
    at_limit = f"{minutes},1,2 * * *  *"
    assert len(at_limit) == 120

    assert parse_schedule(f"  {at_limit}\n", "UTC").expression == at_limit
    assert "120" in refusal(at_limit.replace("  ", "   "))


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "EST"])
def test_iana_zone_is_taken(timezone: str) -> None:
    schedule = parse_schedule(" @Daily ", timezone)

    assert (schedule.expression, schedule.timezone) == ("@Daily", timezone)


@pytest.mark.parametrize(
    "timezone",
    [
        "",
        " ",
        "UTC ",
        "utc",
        "europe/berlin",
        "Europe/Atlantis",
        "Europe",
        "Europe/",
        "/etc/localtime",
        "../Europe/Berlin",
        "Europe/../Europe/Berlin",
        "localtime",
        "posixrules",
        "posix/Europe/Berlin",
        "right/Europe/Berlin",
        "tzdata.zi",
        "zone.tab",
        "+02:00",
        "UTC+2",
        "Europe/Berlin\x00",
        "\x00",
        "\ud800",
        "Europe/Bérlin",
        "a" * 100_000,
    ],
)
def test_name_that_is_no_iana_zone_is_refused(timezone: str) -> None:
    with pytest.raises(UnknownZone, match="IANA") as caught:
        parse_schedule("* * * * *", timezone)
    message = str(caught.value)
    assert len(message) < 200
    message.encode()


def test_misspelt_zone_is_answered_with_the_right_one() -> None:
    assert "did you mean Europe/Berlin?" in refusal("* * * * *", "europe/berlin")
    assert "did you mean America/New_York?" in refusal("* * * * *", "America/New York")


def test_zone_is_refused_before_the_expression() -> None:
    """So that a caller who wants every problem can try the expression again in UTC."""
    with pytest.raises(UnknownZone):
        parse_schedule("nonsense", "nowhere")


@pytest.mark.parametrize(
    ("expression", "description"),
    [
        ("0 9 * * 1-5", "At 09:00 on Monday through Friday"),
        ("*/5 * * * *", "Every fifth minute of every hour"),
        ("30 0 9 * * *", "At 09:00:30 every day"),
        ("* * * * * *", "Every second"),
        ("*/10 * * * * *", "Every 10th second of every minute"),
        ("0 9 21 * *", "At 09:00 on the 21st day of every month"),
        ("0 0 2,12,22 * *", "At 00:00 on the second, the 12th, and the 22nd day of month"),
        ("*/23 * * * *", "Every 23rd minute of every hour"),
        ("@Hourly", "At the start of every hour"),
        ("@daily", "At 00:00 every day"),
        ("@weekly", "At 00:00 on Sunday"),
        ("@monthly", "At 00:00 on the first day of every month"),
        ("@yearly", "At 00:00 on January 1"),
    ],
)
def test_description_tells_the_schedule_in_english(expression: str, description: str) -> None:
    assert parse_schedule(expression, "UTC").description == description


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("* * * * * *", 1),
        ("59,0 * * * * *", 1),
        ("59,0 30 * * * *", 59),
        ("0 59,0 * * * *", 60),
        ("30 59,0 0,23 * * *", 60),
        ("0,50 * * * * *", 10),
        ("* * * * *", 60),
        ("*/7 * * * *", 4 * 60),
        ("*/40 * * * *", 20 * 60),
        ("0,59 */2 * * *", 59 * 60),
        ("0,59 9,11 * * *", 59 * 60),
        ("10,50 9,10 * * *", 20 * 60),
        ("@hourly", 3600),
        ("0 0,12 * * *", 12 * 3600),
        ("0 1,23 * * *", 2 * 3600),
        ("0 1,23 * * 1,3", 22 * 3600),
        ("0 9 * * *", 86_400),
        ("0 9 * * 1,5", 3 * 86_400),
        ("0 9 * * 1", 7 * 86_400),
        ("0 0 1,31 * *", 86_400),
        ("0 0 0 1,31 * *", 86_400),
        ("0 0 2,31 * *", 2 * 86_400),
        ("0 0 1 3,2 *", 28 * 86_400),
        ("0 0 L,1 * *", 86_400),
        ("0 0 13 * 5", 86_400),
        ("@monthly", 28 * 86_400),
        ("@yearly", 365 * 86_400),
        ("0 0 29 2 *", 1461 * 86_400),
        ("0 0 29 2 */7", 10_227 * 86_400),
    ],
)
def test_shortest_interval_is_that_of_the_closest_two_ticks(
    expression: str, seconds: float
) -> None:
    assert parse_schedule(expression, "Europe/Berlin").shortest_interval_seconds() == seconds


@pytest.mark.parametrize(
    "expression",
    ["7,11,58 3-9/2 * * *", "5 13,59 22-23,0 * * 1,2", "*/50 9 1,7 */3 *", "30 1 5,28 1-3 mon"],
)
def test_shortest_interval_equals_the_least_of_ten_years_of_ticks(expression: str) -> None:
    schedule = parse_schedule(expression, "UTC")
    ticks = schedule.ticks_between(AT, AT.replace(year=2036))

    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(islice(ticks, 4000))]

    assert schedule.shortest_interval_seconds() == min(gaps)


def test_schedule_is_immutable_and_compares_by_what_was_given() -> None:
    schedule = parse_schedule("0 9 * * *", "UTC")

    with pytest.raises(AttributeError):
        schedule.timezone = "Europe/Berlin"  # type: ignore[misc] # what must not work
    assert schedule == parse_schedule(" 0 9 * * * ", "UTC")
    assert schedule != parse_schedule("0 9 * * *", "Etc/UTC")
    assert not hasattr(schedule, "__dict__")


def test_macros_equal_the_fields_they_stand_for() -> None:
    for macro, fields in MACROS.items():
        written_out = parse_schedule(fields, "America/Havana")
        assert parse_schedule(macro, "America/Havana").next_after(AT) == written_out.next_after(AT)
