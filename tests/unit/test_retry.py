"""What follows each outcome."""

import pytest

from engine.retry import MAX_RETRY_AFTER_SECONDS, Decision, backoff_seconds, decide
from engine.verdict import Outcome, Verdict, Waits
from models.enums import DeliveryGuarantee, LogStatus

AT_LEAST_ONCE, AT_MOST_ONCE = DeliveryGuarantee.AT_LEAST_ONCE, DeliveryGuarantee.AT_MOST_ONCE
both_guarantees = pytest.mark.parametrize("guarantee", DeliveryGuarantee)
repeatable = pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.UNCERTAIN])


def decided(
    verdict: Verdict,
    *,
    retry_count: int = 0,
    max_retry: int = 3,
    guarantee: DeliveryGuarantee = AT_LEAST_ONCE,
    jitter: float = 0.0,
) -> Decision:
    return decide(
        verdict,
        retry_count=retry_count,
        max_retry=max_retry,
        guarantee=guarantee,
        jitter=jitter,
    )


def verdict(outcome: Outcome, wait_seconds: float | None = None) -> Verdict:
    return Verdict(outcome=outcome, message="", wait_seconds=wait_seconds)


@pytest.mark.parametrize(("retry_count", "seconds"), [(0, 1), (1, 2), (2, 4), (9, 512)])
def test_the_backoff_doubles_from_one_second(retry_count: int, seconds: float) -> None:
    assert backoff_seconds(retry_count, 0.0) == seconds


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 8.0), (0.5, 8.4), (1.0, 8.8)])
def test_jitter_adds_up_to_a_tenth(jitter: float, seconds: float) -> None:
    assert backoff_seconds(3, jitter) == pytest.approx(seconds)


@both_guarantees
def test_what_was_delivered_is_a_success(guarantee: DeliveryGuarantee) -> None:
    expected = Decision(status=LogStatus.SUCCESS)

    assert decided(verdict(Outcome.DELIVERED), guarantee=guarantee) == expected


@both_guarantees
def test_what_was_refused_fails_with_retries_left(guarantee: DeliveryGuarantee) -> None:
    assert decided(verdict(Outcome.REFUSED), guarantee=guarantee) == Decision(
        status=LogStatus.FAILED
    )


@both_guarantees
@pytest.mark.parametrize("retry_count", [0, 3])
@pytest.mark.parametrize("wait_seconds", [None, 0.35, 3600.0])
def test_a_limit_is_no_attempt(
    guarantee: DeliveryGuarantee, retry_count: int, wait_seconds: float | None
) -> None:
    limited = Verdict(
        outcome=Outcome.LIMITED, message="", waits=Waits.WEBHOOK, wait_seconds=wait_seconds
    )

    assert decided(limited, guarantee=guarantee, retry_count=retry_count) == Decision(
        status=LogStatus.QUEUED, retry_in_seconds=wait_seconds
    )


@both_guarantees
@pytest.mark.parametrize(("retry_count", "seconds"), [(0, 1.0), (1, 2.0), (2, 4.0)])
def test_what_was_not_sent_is_retried_by_both_guarantees(
    guarantee: DeliveryGuarantee, retry_count: int, seconds: float
) -> None:
    decision = decided(verdict(Outcome.NOT_SENT), guarantee=guarantee, retry_count=retry_count)

    assert decision == Decision(status=LogStatus.RETRYING, retry_in_seconds=seconds)


@pytest.mark.parametrize(("retry_count", "seconds"), [(0, 1.0), (1, 2.0), (2, 4.0)])
def test_an_unknown_outcome_is_retried_at_least_once(retry_count: int, seconds: float) -> None:
    decision = decided(verdict(Outcome.UNCERTAIN), retry_count=retry_count)

    assert decision == Decision(status=LogStatus.RETRYING, retry_in_seconds=seconds)


@pytest.mark.parametrize("retry_count", [0, 3])
def test_an_unknown_outcome_ends_unknown_at_most_once(retry_count: int) -> None:
    decision = decided(verdict(Outcome.UNCERTAIN), guarantee=AT_MOST_ONCE, retry_count=retry_count)

    assert decision == Decision(status=LogStatus.UNKNOWN)


@repeatable
@pytest.mark.parametrize(("retry_count", "max_retry"), [(3, 3), (0, 0), (4, 3)])
def test_retries_that_are_used_up_fail(outcome: Outcome, retry_count: int, max_retry: int) -> None:
    decision = decided(verdict(outcome), retry_count=retry_count, max_retry=max_retry)

    assert decision == Decision(status=LogStatus.FAILED)


@repeatable
@pytest.mark.parametrize(
    ("asked_seconds", "seconds"),
    [(None, 4.2), (0.5, 4.2), (30.0, 30.0), (86_400.0, MAX_RETRY_AFTER_SECONDS)],
)
def test_a_server_that_asks_for_a_longer_pause_gets_it_within_bounds(
    outcome: Outcome, asked_seconds: float | None, seconds: float
) -> None:
    decision = decided(verdict(outcome, asked_seconds), retry_count=2, jitter=0.5)

    assert decision.retry_in_seconds == pytest.approx(seconds)
