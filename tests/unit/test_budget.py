"""The budget of an origin: a burst, then one slot after another, and never more than the rate."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limits import Budget, Rate

RATES = [
    Rate(count=1, seconds=1),
    Rate(count=2, seconds=1),
    Rate(count=3, seconds=1),
    Rate(count=8, seconds=1),
    Rate(count=50, seconds=1),
    Rate(count=100, seconds=60),
    Rate(count=1000, seconds=3600),
]


def budget_of(rate: Rate) -> Budget:
    return Budget(origins=("https://discord.com",), rate=rate)


@pytest.mark.parametrize(
    ("rate", "burst", "slot"),
    [
        (Rate(count=50, seconds=1), 5.0, timedelta(milliseconds=25)),
        (Rate(count=100, seconds=60), 10.0, timedelta(seconds=0.75)),
        (Rate(count=10, seconds=1), 1.0, timedelta(milliseconds=125)),
        (Rate(count=5, seconds=1), 1.0, timedelta(milliseconds=250)),
        (Rate(count=2, seconds=1), 1.0, timedelta(seconds=1)),
        (Rate(count=1, seconds=1), 1.0, timedelta(seconds=2)),
    ],
)
def test_burst_is_a_tenth_and_slots_spread_the_rest(
    rate: Rate, burst: float, slot: timedelta
) -> None:
    assert budget_of(rate).burst == burst
    assert budget_of(rate).slot == slot


@pytest.mark.parametrize("rate", [*RATES, Rate(count=9_999_999, seconds=1)])
def test_one_request_may_always_leave_and_every_slot_takes_time(rate: Rate) -> None:
    assert budget_of(rate).burst >= 1.0
    assert budget_of(rate).slot > timedelta(0)


@pytest.mark.parametrize("rate", RATES)
def test_more_than_three_quarters_of_a_usual_rate_are_used(rate: Rate) -> None:
    steady = timedelta(seconds=rate.seconds) / budget_of(rate).slot

    assert steady >= (0.75 * rate.count if rate.count >= 4 else 0.5 * rate.count)


@given(
    st.builds(Rate, count=st.integers(1, 2000), seconds=st.sampled_from([1, 60, 3600])),
    st.lists(st.floats(0.0, 1.5), min_size=1, max_size=60),
)
def test_no_span_of_the_rates_length_holds_more_than_nine_tenths(
    rate: Rate, pauses: list[float]
) -> None:
    """Whoever claims as much as the statement allows, after pauses of any length.

    The rules are those of the claim: there is room for the burst, less the slots that are still
    taken up; each claim takes up a slot from the end of those, or from now on.
    """
    budget = budget_of(rate)
    slot_seconds = budget.slot.total_seconds()
    now, next_slot_at = 0.0, 0.0
    sent: list[tuple[float, int]] = []
    for pause in pauses:
        now += pause * rate.seconds
        slot_at = max(next_slot_at, now)
        room = int(budget.burst - (slot_at - now) / slot_seconds)
        if room > 0:
            next_slot_at = slot_at + room * slot_seconds
            sent.append((now, room))

    # What cannot be divided into tenths may be all of it.
    most = min(rate.count, 0.9 * rate.count + 1)
    for begin, _ in sent:
        end = begin + rate.seconds - slot_seconds / 100
        assert sum(count for at, count in sent if begin <= at < end) <= most
