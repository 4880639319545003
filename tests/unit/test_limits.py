"""Pauses, holds and rates."""

import pytest

from engine.limits import (
    Rate,
    lane_pause_seconds,
    parse_rate,
)
from engine.verdict import Bucket

ROOM = Bucket(limit=5, remaining=1, reset_after_seconds=1.5)
EMPTY = Bucket(limit=5, remaining=0, reset_after_seconds=1.5)


@pytest.mark.parametrize(("bucket", "seconds"), [(None, 0.0), (ROOM, 0.0), (EMPTY, 1.55)])
def test_a_webhook_rests_until_the_reset_once_nothing_remains(
    bucket: Bucket | None, seconds: float
) -> None:
    assert lane_pause_seconds(bucket) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/second", Rate(count=50, seconds=1)),
        ("100/minute", Rate(count=100, seconds=60)),
        ("1000/hour", Rate(count=1000, seconds=3600)),
        (" 5 / Second ", Rate(count=5, seconds=1)),
    ],
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "50", "50/", "/second", "0/second", "-1/second", "1.5/second", "50/day", "\uff150/second"],
)
def test_what_is_no_rate_is_refused_with_the_form_it_takes(text: str) -> None:
    with pytest.raises(ValueError, match="50/second"):
        parse_rate(text)
