"""What each answer means: the whole table of Discord's answers."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from engine.verdict import (
    MAX_WAIT_SECONDS,
    Answer,
    Bucket,
    FailureKind,
    Outcome,
    Stops,
    TransportFailure,
    Verdict,
    Waits,
    judge,
)

HTML = "<!DOCTYPE html><title>Attention Required!</title>"
VIA = {"Via": "1.1 google"}
BUCKET = {
    "X-RateLimit-Limit": "5",
    "X-RateLimit-Remaining": "3",
    "X-RateLimit-Reset-After": "1.250",
}
LIMITED = {"message": "You are being rate limited.", "retry_after": 0.35, "global": False}


def answered(status: int, body: object = b"", **headers: str) -> Answer:
    """Build an answer; keywords are headers, with _ for -."""
    match body:
        case bytes():
            data = body
        case str():
            data = body.encode()
        case _:
            data = json.dumps(body).encode()
    names = CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()})
    return Answer(status=status, headers=names, body=data)


def judged(status: int, body: object = b"", **headers: str) -> Verdict:
    return judge(answered(status, body, **headers))


def error(code: int, message: str = "What Discord says") -> dict[str, object]:
    return {"message": message, "code": code}


@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_message_that_came_back_is_delivered_with_its_ids(status: int) -> None:
    verdict = judged(status, {"id": "1100000000000000001", "channel_id": "42"}, **BUCKET)

    assert verdict == Verdict(
        outcome=Outcome.DELIVERED,
        message="Delivered",
        http_status=status,
        message_id="1100000000000000001",
        channel_id="42",
        bucket=Bucket(limit=5, remaining=3, reset_after_seconds=1.25),
    )


@pytest.mark.parametrize(
    "body", [b"", b'{"id": "11', HTML, b"\xff\xfe", "[]", "null", {"id": None}, {"id": "x"}]
)
@pytest.mark.parametrize("status", [200, 204])
def test_a_2xx_with_a_broken_body_is_delivered_with_the_id_unknown(
    status: int, body: object
) -> None:
    verdict = judge(replace(answered(status, body), complete=False))

    assert (verdict.outcome, verdict.message_id) == (Outcome.DELIVERED, None)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_refused_for_the_run(status: int) -> None:
    verdict = judged(status, error(10015), Location="https://elsewhere.example/")

    assert (verdict.outcome, verdict.stops) == (Outcome.REFUSED, Stops.RUN)
    assert "redirects are not followed" in verdict.message


@pytest.mark.parametrize("status", [400, 402, 404, 405, 409, 410, 413, 415, 422, 431, 451])
@pytest.mark.parametrize("body", [error(50035), error(0), {}, HTML, b""])
def test_other_4xx_are_refused_for_the_run(status: int, body: object) -> None:
    verdict = judged(status, body)

    assert (verdict.outcome, verdict.stops) == (Outcome.REFUSED, Stops.RUN)
    assert (verdict.waits, verdict.counts_as_invalid) == (Waits.NOTHING, False)


def test_a_refusal_still_tells_the_webhooks_limit() -> None:
    assert judged(400, error(50006), **BUCKET).bucket == Bucket(
        limit=5, remaining=3, reset_after_seconds=1.25
    )


@pytest.mark.parametrize(
    ("status", "code", "stops", "counts"),
    [
        (401, 50027, Stops.WEBHOOK, True),
        (403, 50013, Stops.WEBHOOK, True),
        (403, 50001, Stops.WEBHOOK, True),
        (404, 10015, Stops.WEBHOOK_ID, False),
        (404, 10003, Stops.TASK, False),
        (401, 0, Stops.RUN, True),
        (403, 0, Stops.RUN, True),
        (403, 200000, Stops.RUN, True),
        (404, 0, Stops.RUN, False),
        (400, 220001, Stops.RUN, False),
    ],
)
def test_discords_code_says_how_far_a_refusal_reaches(
    status: int, code: int, stops: Stops, counts: bool
) -> None:
    verdict = judged(status, error(code))

    assert (verdict.outcome, verdict.stops) == (Outcome.REFUSED, stops)
    assert (verdict.discord_code, verdict.counts_as_invalid) == (code, counts)


@pytest.mark.parametrize("body", [HTML, b"", "401: Unauthorized", {}, {"code": "50027"}])
def test_a_401_without_discords_code_is_refused_for_the_run(body: object) -> None:
    verdict = judged(401, body)

    assert (verdict.outcome, verdict.stops) == (Outcome.REFUSED, Stops.RUN)
    assert verdict.counts_as_invalid


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(HTML, id="html"),
        pytest.param(b"", id="empty"),
        pytest.param("error code: 1010", id="text"),
        pytest.param({"error": "no"}, id="json of another"),
        pytest.param({"code": True}, id="a code that is none"),
        pytest.param(error(40333, "internal network error"), id="the edge's json"),
    ],
)
@pytest.mark.parametrize(("header", "wait"), [({}, None), ({"Retry-After": "120"}, 120.05)])
def test_a_403_of_the_edge_holds_the_origin_and_harms_no_task(
    body: object, header: dict[str, str], wait: float | None
) -> None:
    verdict = judged(403, body, **header)

    assert (verdict.outcome, verdict.waits) == (Outcome.LIMITED, Waits.ORIGIN)
    assert (verdict.stops, verdict.counts_as_invalid) == (Stops.RUN, True)
    assert verdict.wait_seconds == wait


@pytest.mark.parametrize(
    ("headers", "body", "waits", "counts"),
    [
        pytest.param({"X-RateLimit-Scope": "user"}, {}, Waits.WEBHOOK, True, id="user"),
        pytest.param({"X-RateLimit-Scope": "shared"}, {}, Waits.CHANNEL, False, id="shared"),
        pytest.param(VIA, {}, Waits.WEBHOOK, True, id="no scope"),
        pytest.param(BUCKET, {}, Waits.WEBHOOK, True, id="no scope and no Via"),
        pytest.param(
            VIA | {"X-RateLimit-Scope": "global"}, {}, Waits.ORIGIN, True, id="global scope"
        ),
        pytest.param(
            VIA | {"X-RateLimit-Global": "true"}, {}, Waits.ORIGIN, True, id="global header"
        ),
        pytest.param(VIA, {"global": True}, Waits.ORIGIN, True, id="global body"),
        pytest.param({}, {}, Waits.ORIGIN, True, id="nothing of Discord's in the headers"),
    ],
)
def test_a_429_waits_what_it_says_and_holds_what_it_limits(
    headers: dict[str, str], body: dict[str, object], waits: Waits, counts: bool
) -> None:
    verdict = judged(429, LIMITED | body, **headers)

    assert (verdict.outcome, verdict.waits) == (Outcome.LIMITED, waits)
    assert verdict.wait_seconds == pytest.approx(0.4)
    assert verdict.counts_as_invalid is counts


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(HTML, id="html"),
        pytest.param("error code: 1015", id="text"),
        pytest.param(error(0), id="code 0 without a figure"),
        pytest.param('{"retry_after": 1', id="broken json"),
        pytest.param("[1]", id="a list"),
        pytest.param(b"", id="empty"),
    ],
)
@pytest.mark.parametrize("via", [{}, VIA])
@pytest.mark.parametrize(("header", "wait"), [({}, None), ({"Retry-After": "600"}, 600.05)])
def test_a_429_of_the_edge_holds_the_origin(
    body: object, via: dict[str, str], header: dict[str, str], wait: float | None
) -> None:
    verdict = judged(429, body, **via, **header)

    assert (verdict.outcome, verdict.waits) == (Outcome.LIMITED, Waits.ORIGIN)
    assert (verdict.wait_seconds, verdict.counts_as_invalid) == (wait, True)
    assert "our address is held" in verdict.message


@pytest.mark.parametrize(
    ("retry_after", "header", "wait"),
    [
        (2, "9", 2.05),
        (64.57, "65", 64.62),
        ("1.5", "9", 1.55),
        ("soon", "9", 9.05),
        (None, "9", 9.05),
        (True, "9", 9.05),
        ([1], "9", 9.05),
        ("NaN", "9", 9.05),
        ("1e999", "9", 9.05),
        ("9" * 400, "9", 9.05),
        (0, "9", 1.05),
        (-5, "9", 1.05),
        (1e12, "9", MAX_WAIT_SECONDS + 0.05),
        (None, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (None, "-1", 1.05),
        (None, "", None),
    ],
)
def test_the_bodys_figure_comes_first_then_the_headers_and_absurd_ones_are_tamed(
    retry_after: object, header: str, wait: float | None
) -> None:
    verdict = judged(429, LIMITED | {"retry_after": retry_after}, **VIA, Retry_After=header)

    assert verdict.wait_seconds == (None if wait is None else pytest.approx(wait))
    assert verdict.waits is (Waits.ORIGIN if wait is None else Waits.WEBHOOK)


def test_a_429_with_sends_left_does_not_teach_the_bucket() -> None:
    assert judged(429, LIMITED, **VIA, **BUCKET).bucket is None


def test_a_429_with_nothing_left_teaches_the_bucket() -> None:
    headers = BUCKET | {"X-RateLimit-Remaining": "0"}

    assert judged(429, LIMITED, **headers).bucket == Bucket(
        limit=5, remaining=0, reset_after_seconds=1.25
    )


@pytest.mark.parametrize(
    ("status", "outcome", "outage"),
    [
        (408, Outcome.NOT_SENT, False),
        (425, Outcome.NOT_SENT, False),
        (500, Outcome.UNCERTAIN, False),
        (501, Outcome.UNCERTAIN, False),
        (502, Outcome.NOT_SENT, True),
        (503, Outcome.NOT_SENT, True),
        (504, Outcome.UNCERTAIN, False),
        (520, Outcome.UNCERTAIN, True),
        (521, Outcome.NOT_SENT, True),
        (522, Outcome.NOT_SENT, True),
        (523, Outcome.NOT_SENT, True),
        (524, Outcome.UNCERTAIN, True),
        (525, Outcome.NOT_SENT, True),
        (526, Outcome.NOT_SENT, True),
        (530, Outcome.UNCERTAIN, False),
        (599, Outcome.UNCERTAIN, False),
        (999, Outcome.UNCERTAIN, False),
        (101, Outcome.UNCERTAIN, False),
    ],
)
@pytest.mark.parametrize("body", [error(10015), error(0), HTML, b""])
def test_where_a_failing_status_is_made_says_whether_it_posted(
    status: int, outcome: Outcome, outage: bool, body: object
) -> None:
    verdict = judged(status, body)

    assert (verdict.outcome, verdict.outage) == (outcome, outage)
    assert (verdict.stops, verdict.waits) == (Stops.RUN, Waits.NOTHING)
    assert ("posted is unknown" in verdict.message) is (outcome is Outcome.UNCERTAIN)


@pytest.mark.parametrize(
    ("header", "wait"), [("30", 30.05), ("1e9", MAX_WAIT_SECONDS + 0.05), ("later", None)]
)
def test_a_failing_server_may_ask_for_a_pause(header: str, wait: float | None) -> None:
    assert judged(503, Retry_After=header).wait_seconds == wait


@pytest.mark.parametrize("kind", FailureKind)
def test_a_request_that_never_left_was_not_sent_and_speaks_of_an_outage(
    kind: FailureKind,
) -> None:
    verdict = judge(TransportFailure(kind=kind, sent=False, message="could not connect"))

    assert verdict == Verdict(outcome=Outcome.NOT_SENT, message="could not connect", outage=True)


@pytest.mark.parametrize("kind", FailureKind)
def test_a_request_that_left_without_an_answer_is_uncertain(kind: FailureKind) -> None:
    verdict = judge(TransportFailure(kind=kind, sent=True, message="no answer in time"))

    assert verdict == Verdict(
        outcome=Outcome.UNCERTAIN,
        message="no answer in time; whether it was posted is unknown",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("X-RateLimit-Limit", "five"),
        ("X-RateLimit-Limit", "0"),
        ("X-RateLimit-Remaining", ""),
        ("X-RateLimit-Remaining", "-1"),
        ("X-RateLimit-Remaining", "1.5"),
        ("X-RateLimit-Reset-After", "soon"),
        ("X-RateLimit-Reset-After", "-1"),
        ("X-RateLimit-Reset-After", "nan"),
        ("X-RateLimit-Reset-After", "inf"),
    ],
)
def test_limit_headers_that_make_no_sense_are_no_bucket(name: str, text: str) -> None:
    assert judged(200, **(BUCKET | {name: text})).bucket is None


@pytest.mark.parametrize("missing", BUCKET)
def test_limit_headers_of_which_one_is_missing_are_no_bucket(missing: str) -> None:
    assert judged(200, **{name: BUCKET[name] for name in BUCKET if name != missing}).bucket is None


def test_limit_headers_are_read_in_any_case_and_bounded() -> None:
    headers = {name.lower(): text for name, text in BUCKET.items()}

    bucket = judged(200, **headers | {"x-ratelimit-reset-after": "1e9"}).bucket

    assert bucket == Bucket(limit=5, remaining=3, reset_after_seconds=MAX_WAIT_SECONDS)


@given(st.integers(100, 999), st.binary(max_size=200), st.booleans())
def test_no_answer_makes_it_raise(status: int, body: bytes, complete: bool) -> None:
    verdict = judge(replace(answered(status, body), complete=complete))

    assert verdict.http_status == status
    assert verdict.message
