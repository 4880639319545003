"""The database's clock is told from its readings and a monotonic clock, never ahead of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import DatabaseClock

EPSILON_SECONDS = 1e-5
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Monotonic:
    """A monotonic clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after NOON."""
    return datetime.fromtimestamp(NOON.timestamp() + seconds, UTC)


def shown(clock: DatabaseClock) -> float:
    """Return the clock's time in seconds after NOON."""
    return clock.time() - NOON.timestamp()


def make_clock(monotonic: Monotonic) -> DatabaseClock:
    """Return a clock that was told NOON by a first reading of two seconds' round trip."""
    clock = DatabaseClock(monotonic)
    monotonic.now = 12.0
    clock.observe(NOON, asked_at=10.0, answered_at=12.0)
    return clock


def test_clock_without_a_reading_tells_no_time() -> None:
    clock = DatabaseClock(Monotonic())

    with pytest.raises(RuntimeError, match="not read yet"):
        clock.time()
    with pytest.raises(RuntimeError, match="not read yet"):
        clock.now()


def test_first_reading_is_no_step() -> None:
    step = DatabaseClock(Monotonic()).observe(NOON, asked_at=10.0, answered_at=12.0)

    assert step == 0.0


def test_reading_is_taken_as_made_when_the_answer_came() -> None:
    """The database may have read its clock up to two seconds before: ours is late, never ahead."""
    clock = make_clock(Monotonic())

    assert shown(clock) == pytest.approx(0.0, abs=EPSILON_SECONDS)


def test_time_goes_on_with_the_monotonic_clock_alone() -> None:
    monotonic = Monotonic()
    clock = make_clock(monotonic)

    monotonic.now += 3600.25

    assert shown(clock) == pytest.approx(3600.25, abs=EPSILON_SECONDS)
    assert clock.now() == at(3600.25)
    assert clock.now().tzinfo is UTC


@pytest.mark.parametrize("reading", [86.0, 87.0, 88.0])
def test_reading_that_ours_agrees_with_changes_nothing(reading: float) -> None:
    """Ours showed 86 when the database was asked and 88 when it answered."""
    monotonic = Monotonic()
    clock = make_clock(monotonic)
    monotonic.now = 100.0
    before = clock.time()

    step = clock.observe(at(reading), asked_at=98.0, answered_at=100.0)

    assert step == 0.0
    assert clock.time() == before


@pytest.mark.parametrize("reading", [85.9, 88.1])
def test_reading_that_ours_can_not_agree_with_is_taken(reading: float) -> None:
    """To its lower bound: whatever its way back took, ours is not ahead."""
    monotonic = Monotonic()
    clock = make_clock(monotonic)
    monotonic.now = 100.0

    step = clock.observe(at(reading), asked_at=98.0, answered_at=100.0)

    assert step == pytest.approx(reading - 88.0, abs=EPSILON_SECONDS)
    assert shown(clock) == pytest.approx(reading, abs=EPSILON_SECONDS)


@pytest.mark.parametrize("step_seconds", [-3600.0, -0.5, 0.5, 3600.0])
def test_step_of_the_databases_clock_is_followed_and_returned(step_seconds: float) -> None:
    monotonic = Monotonic()
    clock = make_clock(monotonic)
    monotonic.now = 100.0

    step = clock.observe(at(88.0 + step_seconds), asked_at=100.0, answered_at=100.0)

    assert step == pytest.approx(step_seconds, abs=EPSILON_SECONDS)
    assert shown(clock) == pytest.approx(88.0 + step_seconds, abs=EPSILON_SECONDS)


def test_quicker_answer_makes_up_for_a_slow_first_one() -> None:
    """The first reading was two seconds under way, so ours was late by up to that."""
    monotonic = Monotonic()
    clock = make_clock(monotonic)
    monotonic.now = 100.01

    step = clock.observe(at(89.5), asked_at=100.0, answered_at=100.01)

    assert step == pytest.approx(1.49, abs=EPSILON_SECONDS)
    assert shown(clock) == pytest.approx(89.5, abs=EPSILON_SECONDS)


PAUSES = st.floats(0.0, 5.0)
WAYS = st.floats(0.0001, 5.0)


@given(st.lists(st.tuples(PAUSES, WAYS, WAYS), min_size=1, max_size=20))
def test_clock_is_never_ahead_of_the_databases(beats: list[tuple[float, float, float]]) -> None:
    """Nor is it behind by more than the quickest round trip so far."""
    monotonic = Monotonic()
    clock = DatabaseClock(monotonic)
    quickest = float("inf")

    for pause, there, back in beats:
        asked_at = monotonic.now + pause
        monotonic.now = asked_at + there + back
        quickest = min(quickest, there + back)
        clock.observe(at(asked_at + there), asked_at=asked_at, answered_at=monotonic.now)

        behind = monotonic.now - shown(clock)
        assert -EPSILON_SECONDS <= behind <= quickest + EPSILON_SECONDS
