"""The sandbox's stand-in answers as Discord does, and what it shows is checked and cut."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from sandbox.channel import Channel
from sandbox.discord import Reply, Sent, StandIn, Webhook
from sandbox.shown import shown

WEBHOOK = Webhook(id="1234567890123456789", token="t" * 68)
START = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
JSON = "application/json"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def stand_in(channel: Channel, clock: Clock) -> StandIn:
    return StandIn(WEBHOOK, channel, now=clock.now, monotonic=clock.monotonic)


def send(stand_in: StandIn, payload: object = None, **changed: Any) -> Reply:
    request = {
        "method": "POST",
        "webhook_id": WEBHOOK.id,
        "token": WEBHOOK.token,
        "query": {"wait": "true"},
        "content_type": JSON,
        "body": orjson.dumps({"content": "hello"} if payload is None else payload),
    }
    return stand_in.answer(Sent(**(request | changed)))


async def watched(channel: Channel, count: int) -> list[dict[str, object]]:
    watching = channel.watch(0)
    return [(await anext(watching)).shown for _ in range(count)]


async def test_a_message_is_answered_and_shown(stand_in: StandIn, channel: Channel) -> None:
    reply = send(stand_in, {"content": "**hi**", "username": "Bot"})

    assert reply.status == 200
    assert reply.body is not None
    assert reply.body["channel_id"] == WEBHOOK.channel_id
    assert reply.body["timestamp"] == "2026-05-04T03:02:01+00:00"
    assert reply.headers["X-RateLimit-Remaining"] == "4"
    assert "Via" in reply.headers
    [seen] = await watched(channel, 1)
    assert (seen["id"], seen["name"]) == (reply.body["id"], "Bot")
    assert seen["content"] == [{"kind": "bold", "of": ["hi"]}]


async def test_without_wait_the_message_is_shown_but_not_answered(
    stand_in: StandIn, channel: Channel
) -> None:
    reply = send(stand_in, query={})

    assert (reply.status, reply.body) == (204, None)
    assert len(await watched(channel, 1)) == 1


def test_ids_grow_even_within_a_millisecond(stand_in: StandIn) -> None:
    bodies = [send(stand_in).body or {} for _ in range(3)]
    ids = [int(str(body["id"])) for body in bodies]

    assert ids == sorted(set(ids))


def test_the_sixth_within_two_seconds_is_told_to_wait(stand_in: StandIn, clock: Clock) -> None:
    assert [send(stand_in).status for _ in range(5)] == [200] * 5
    clock.seconds = 0.5

    refused = send(stand_in)

    assert refused.status == 429
    assert refused.body == {
        "message": "You are being rate limited.",
        "retry_after": 1.5,
        "global": False,
    }
    assert refused.headers["Retry-After"] == "2"
    assert refused.headers["X-RateLimit-Scope"] == "user"
    clock.seconds = 2.0
    assert send(stand_in).status == 200


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"webhook_id": "9" * 18}, 404, 10015),
        ({"token": "x" * 68}, 401, 50027),
        ({"method": "GET"}, 405, 0),
        ({"body": None}, 413, 40005),
        ({"body": b"{"}, 400, 50109),
        ({"body": b"[]"}, 400, 50109),
        ({"body": b"{}"}, 400, 50006),
        ({"body": orjson.dumps({"content": "x" * 2001})}, 400, 50035),
        ({"content_type": "text/plain"}, 400, 50035),
        ({"query": {"wait": "perhaps"}}, 400, 50035),
    ],
)
def test_what_is_wrong_is_refused_as_discord_does(
    stand_in: StandIn, changed: dict[str, Any], status: int, code: int
) -> None:
    reply = send(stand_in, **changed)

    assert reply.status == status
    assert reply.body is not None
    assert reply.body["code"] == code


def test_no_repr_holds_the_token() -> None:
    assert WEBHOOK.token not in repr(WEBHOOK)


def view(payload: Mapping[str, object]) -> dict[str, Any]:
    return shown(payload, message_id=1, at=START)


def test_an_embed_is_shown_with_its_parts() -> None:
    [embed] = view(
        {
            "embeds": [
                {
                    "title": "T",
                    "url": "https://a.b",
                    "description": "*d*",
                    "color": 255,
                    "author": {"name": "A"},
                    "fields": [{"name": "n", "value": "v", "inline": True}],
                    "footer": {"text": "F"},
                    "timestamp": "2026-01-02T03:04:05Z",
                    "image": {"url": "https://a.b/c.png"},
                }
            ]
        }
    )["embeds"]

    assert embed == {
        "color": "#0000ff",
        "author": "A",
        "title": ["T"],
        "href": "https://a.b",
        "description": [{"kind": "italic", "of": ["d"]}],
        "fields": [{"name": ["n"], "value": ["v"], "inline": True}],
        "pictures": [{"kind": "link", "href": "https://a.b/c.png", "of": ["image"]}],
        "footer": "F",
        "at": "2026-01-02T03:04:05+00:00",
    }


@pytest.mark.parametrize(
    "embed",
    [
        {"color": "red;background:url(//a.b)"},
        {"color": -1},
        {"color": 2**24},
        {"url": "javascript:alert(1)"},
        {"url": "https://a.b\njavascript:alert(1)"},
        {"image": {"url": "data:text/html,a"}, "thumbnail": "https://a.b"},
        {"title": {"a": 1}, "description": 5, "fields": {"a": 1}, "footer": [], "author": "x"},
        {"fields": [1, "a", None]},
        {"timestamp": "<b>"},
    ],
)
def test_what_is_no_value_of_its_field_is_left_out(embed: dict[str, object]) -> None:
    [left] = view({"embeds": [embed]})["embeds"]

    assert {name: value for name, value in left.items() if value} == {}


@pytest.mark.parametrize("wrong", [1, "a", [1], {"a": [1]}, None, True])
def test_a_message_of_wrong_types_is_shown_empty(wrong: object) -> None:
    names = ("content", "username", "embeds", "poll", "thread_name")
    left = view({name: wrong for name in names if not isinstance(wrong, str)})

    assert (left["name"], left["content"], left["embeds"], left["notes"]) == ("Sandbox", [], [], [])


def test_lengths_and_counts_are_those_of_discord() -> None:
    embed = {"description": "d" * 9999, "fields": [{"name": "n", "value": "v"}] * 99}
    left = view({"content": "c" * 9999, "username": "u" * 999, "embeds": [embed] * 99})

    assert (len(left["content"][0]), len(left["name"]), len(left["embeds"])) == (2000, 80, 10)
    assert len(left["embeds"][0]["description"][0]) == 4096
    assert len(left["embeds"][0]["fields"]) == 25


def test_parts_that_are_not_drawn_have_a_line() -> None:
    answers = [{"poll_media": {"text": text}} for text in ("yes", "no")]
    payload = {
        "thread_name": "news",
        "poll": {"question": {"text": "Really?"}, "answers": answers},
        "components": [{"type": 1}],
    }

    assert view(payload)["notes"] == [
        "Starts the thread: news",
        "Poll: Really? yes / no",
        "It has components, which this page doesn't draw.",
    ]


def test_suppressed_embeds_are_not_shown() -> None:
    assert view({"content": "a", "flags": 4, "embeds": [{"title": "b"}]})["embeds"] == []
