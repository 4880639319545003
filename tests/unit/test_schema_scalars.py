from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from graphql import GraphQLError
from hypothesis import example, given
from hypothesis import strategies as st

from schema.scalars import (
    format_date_time,
    format_date_times,
    parse_date_time,
    parse_json,
    parse_uuid,
)

NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T09:00:00Z", NINE),
        ("2026-01-31t09:00:00z", NINE),
        ("2026-01-31T10:00:00+01:00", NINE),
        ("2026-01-31T00:30:00-08:30", NINE),
        ("2026-01-31T09:00:00-00:00", NINE),
        ("2026-01-31T09:00:00.5Z", NINE + timedelta(milliseconds=500)),
        ("2026-01-31T09:00:00.123456789Z", NINE + timedelta(microseconds=123456)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_date_time_takes_rfc_3339_and_turns_it_into_utc(text: str, instant: datetime) -> None:
    parsed = parse_date_time(text)

    assert parsed == instant
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T09:00:00",
        "2026-01-31",
        "2026-01-31 09:00:00Z",
        "20260131T090000Z",
        "2026-01-31T09:00Z",
        "2026-02-30T09:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T09:00:60Z",
        "2026-01-31T09:00:00+99:00",
        "2026-01-31T09:00:00.Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢026-01-31T09:00:00Z",
        "",
        1_769_850_000,
        None,
    ],
)
def test_date_time_refuses_anything_else(value: object) -> None:
    with pytest.raises(GraphQLError, match="RFC 3339"):
        parse_date_time(value)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NINE, "2026-01-31T09:00:00Z"),
        (NINE.astimezone(timezone(timedelta(hours=-8))), "2026-01-31T09:00:00Z"),
        (NINE + timedelta(microseconds=1), "2026-01-31T09:00:00.000001Z"),
    ],
)
def test_date_time_is_always_written_in_utc(instant: datetime, text: str) -> None:
    assert format_date_time(instant) == text


IN_UTC = st.lists(st.datetimes(timezones=st.just(UTC)))
ELSEWHERE = st.datetimes(timezones=st.timezones()).filter(lambda each: 1 < each.year < 9998)


@given(IN_UTC | st.lists(ELSEWHERE))
@example([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)])
@example([NINE, NINE + timedelta(microseconds=10)])
@example([NINE, NINE.astimezone(timezone(timedelta(hours=-8)))])
def test_many_date_times_are_written_as_each_of_them(instants: list[datetime]) -> None:
    assert format_date_times(instants) == [format_date_time(each) for each in instants]


@pytest.mark.parametrize("text", [str(ID), str(ID).upper(), ID.hex])
def test_uuid_takes_the_usual_spellings(text: str) -> None:
    assert parse_uuid(text) == ID


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0189",
        "g" * 32,
        5,
        None,
        ["x"],
        f"{{{ID}}}",
        ID.urn,
        f" {ID}",
        f"{ID}\n",
        "0-1-8-9-0-a-5-d-a-c-9-6-7-7-4-b-b-c-c-e-b-3-0-2-0-9-9-a-8-0-5-7",
        "\u0660" * 32,
    ],
)
def test_uuid_refuses_anything_else(value: object) -> None:
    with pytest.raises(GraphQLError, match="A UUID is text"):
        parse_uuid(value)


@pytest.mark.parametrize(
    "value",
    [None, True, "text", 0.5, -(2**63), 2**64 - 1, {"a": [1, {"b": None}]}, [], {}],
)
def test_json_is_left_as_it_is(value: object) -> None:
    assert parse_json(value) is value


@pytest.mark.parametrize(
    "value",
    [float("inf"), float("nan"), 2**64, -(2**63) - 1, {"a": [{"b": float("-inf")}]}],
)
def test_json_refuses_numbers_that_json_cannot_hold(value: object) -> None:
    with pytest.raises(GraphQLError, match="JSON must"):
        parse_json(value)
