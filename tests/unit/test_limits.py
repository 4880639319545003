"""Pauses, holds and rates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limits import (
    CHANNEL_SENDS,
    CHANNEL_WINDOW_SECONDS,
    INVALID_REQUEST_BUDGET,
    SENDS_PER_WINDOW,
    WINDOW_SECONDS,
    Rate,
    lane_pause_seconds,
    origin_hold_seconds,
    parse_rate,
    pause_after,
)
from engine.verdict import Bucket

NOW = 1_700_000_000.0
ROOM = Bucket(limit=5, remaining=1, reset_after_seconds=1.5)
EMPTY = Bucket(limit=5, remaining=0, reset_after_seconds=1.5)


@pytest.mark.parametrize(("bucket", "seconds"), [(None, 0.0), (ROOM, 0.0), (EMPTY, 1.55)])
def test_a_webhook_rests_until_the_reset_once_nothing_remains(
    bucket: Bucket | None, seconds: float
) -> None:
    assert lane_pause_seconds(bucket) == pytest.approx(seconds)


def test_the_first_sends_need_no_pause() -> None:
    assert pause_after([NOW - 0.3, NOW - 0.2, NOW - 0.1, NOW], NOW, None) == 0.0


def test_without_headers_the_fifth_send_waits_out_the_window_of_the_first() -> None:
    recent = [NOW - 0.4, NOW - 0.3, NOW - 0.2, NOW - 0.1, NOW]

    assert pause_after(recent, NOW, None) == pytest.approx(2.0 - 0.4 + 0.05)


def test_without_headers_old_sends_do_not_count() -> None:
    recent = [NOW - 2.0, NOW - 0.3, NOW - 0.2, NOW - 0.1, NOW]

    assert pause_after(recent, NOW, None) == 0.0


def test_headers_with_room_overrule_the_assumed_window() -> None:
    assert pause_after([NOW] * 10, NOW, ROOM) == 0.0


def test_headers_without_room_decide_alone() -> None:
    assert pause_after([NOW], NOW, EMPTY) == pytest.approx(1.55)


@pytest.mark.parametrize("bucket", [None, ROOM, EMPTY])
def test_thirty_sends_a_minute_are_kept_whatever_the_headers_say(bucket: Bucket | None) -> None:
    recent = [NOW - 58 + 2 * n for n in range(30)]

    assert pause_after(recent, NOW, bucket) == pytest.approx(max(2.05, lane_pause_seconds(bucket)))


def test_only_the_newest_thirty_sends_count() -> None:
    recent = [NOW - 59.0] * 5 + [NOW - 45 + n for n in range(30)]

    assert pause_after(recent, NOW, ROOM) == pytest.approx(15.05)


def test_a_clock_that_stepped_back_pauses_one_window_at_most() -> None:
    recent = [NOW + 3600] * CHANNEL_SENDS

    assert pause_after(recent, NOW, ROOM) == pytest.approx(CHANNEL_WINDOW_SECONDS + 0.05)


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=80), st.booleans())
def test_a_lane_that_obeys_never_passes_either_limit(answers: list[float], known: bool) -> None:
    """Whatever time the answers take, no window holds more sends than Discord allows."""
    now, sends = NOW, list[float]()
    for answer_seconds in answers:
        now += answer_seconds
        sends.append(now)
        now += pause_after(sends[-CHANNEL_SENDS:], now, ROOM if known else None)

    for index, start in enumerate(sends):
        window = sends[index:]
        assert sum(at < start + CHANNEL_WINDOW_SECONDS for at in window) <= CHANNEL_SENDS
        assert known or sum(at < start + WINDOW_SECONDS for at in window) <= SENDS_PER_WINDOW


@pytest.mark.parametrize(
    ("previous", "seconds"),
    [(None, 60), (60.0, 120), (120.0, 240), (480.0, 900), (900.0, 900), (3.0, 60)],
)
def test_an_origin_that_names_no_wait_is_held_a_minute_then_twice_as_long(
    previous: float | None, seconds: float
) -> None:
    assert origin_hold_seconds(previous) == seconds


def test_we_stop_at_half_of_what_bans_the_address() -> None:
    assert INVALID_REQUEST_BUDGET == 5_000


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
