"""The sandbox over real HTTP: the service's client delivers to it, a page watches."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count

import aiohttp
import orjson
import pytest

from engine.client import DiscordClient
from engine.discord import parse_webhook_url
from engine.verdict import Outcome, Stops, Verdict, judge
from sandbox.app import create_app
from sandbox.channel import MAX_MESSAGES, Channel
from sandbox.discord import MAX_BODY_BYTES, StandIn, Webhook
from tests.serving import Api, serving

WEBHOOK = Webhook(id="1234567890123456789", token="t" * 68)
DETAILS = {"apiKey": "a key"}
WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A served stand-in whose clock moves 3 s a request, so that its limits never hold."""

    api: Api
    client: DiscordClient

    async def post(self, content: str, *, webhook: Webhook = WEBHOOK) -> Verdict:
        url = webhook.url(self.api.url)
        address = parse_webhook_url(url, origins=[self.api.url])
        body = orjson.dumps({"content": content})
        return judge(await self.client.post(address, body, with_components=False))

    async def events(self, number: int, headers: Mapping[str, str]) -> list[tuple[str, object]]:
        """Return the ids and contents of the next events."""
        async with (
            asyncio.timeout(WAIT_SECONDS),
            aiohttp.ClientSession() as http,
            http.get(f"{self.api.url}/events", headers=headers) as answer,
            aclosing(_events(answer)) as stream,
        ):
            return [await anext(stream) for _ in range(number)]


async def _events(answer: aiohttp.ClientResponse) -> AsyncGenerator[tuple[str, object], None]:
    last = ""
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            last = value
        if name == "data":
            yield last, orjson.loads(value)["content"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    channel = Channel()
    ticks = count(0, 3)
    stand_in = StandIn(
        WEBHOOK, channel, now=partial(datetime.now, UTC), monotonic=lambda: float(next(ticks))
    )
    async with (
        serving(create_app(stand_in, channel, DETAILS)) as api,
        DiscordClient(timeout_seconds=5.0) as client,
    ):
        yield Sandbox(api=api, client=client)
        channel.close()


async def test_the_services_client_delivers_and_a_page_sees_it(sandbox: Sandbox) -> None:
    watching = asyncio.create_task(sandbox.events(1, {}))

    verdict = await sandbox.post("hello")

    assert (verdict.outcome, verdict.http_status) == (Outcome.DELIVERED, 200)
    assert verdict.channel_id == WEBHOOK.channel_id
    assert await watching == [(verdict.message_id, ["hello"])]


async def test_a_page_that_comes_back_sees_only_what_it_missed(sandbox: Sandbox) -> None:
    ids = [(await sandbox.post(f"{number}")).message_id for number in range(3)]

    assert [event[0] for event in await sandbox.events(3, {})] == ids
    assert await sandbox.events(1, {"Last-Event-ID": str(ids[1])}) == [(ids[2], ["2"])]
    assert len(await sandbox.events(3, {"Last-Event-ID": "<script>"})) == 3


async def test_a_new_page_sees_the_last_messages_only() -> None:
    channel = Channel()
    stand_in = StandIn(
        WEBHOOK, channel, now=partial(datetime.now, UTC), monotonic=count(0, 3).__next__
    )
    async with serving(create_app(stand_in, channel, {})) as api:
        for number in range(MAX_MESSAGES + 1):
            path = WEBHOOK.url("") + "?wait=1"
            await api.send("POST", path, json={"content": str(number)})
        watching = channel.watch(0)
        assert (await anext(watching)).shown["content"] == ["1"]


async def test_an_unknown_webhook_stops_the_client(sandbox: Sandbox) -> None:
    other = Webhook(id="9" * 18, token="t" * 68)

    verdict = await sandbox.post("hello", webhook=other)

    assert (verdict.http_status, verdict.stops) == (404, Stops.WEBHOOK_ID)


async def test_a_long_body_and_an_unknown_path_are_answered_as_discord_does(
    sandbox: Sandbox,
) -> None:
    long = await sandbox.api.send(
        "POST",
        WEBHOOK.url(""),
        data=io.BytesIO(b"x" * (MAX_BODY_BYTES + 1)),
        headers={"Content-Type": "application/json"},
    )
    lost = await sandbox.api.send("GET", "/api/v10/webhooks/1")

    assert (long.status, long.json["code"]) == (413, 40005)
    assert (lost.status, lost.json) == (404, {"code": 0, "message": "404: Not Found"})


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css"])
async def test_the_page_is_served_under_a_strict_policy(sandbox: Sandbox, path: str) -> None:
    answer = await sandbox.api.send("GET", path)

    policy = answer.headers["Content-Security-Policy"]
    assert answer.status == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "style=" not in answer.text
    assert "http://" not in answer.text.replace("http://127.0.0.1", "")
    assert "innerHTML" not in answer.text


async def test_the_details_are_for_this_machine_alone(sandbox: Sandbox) -> None:
    own = await sandbox.api.send("GET", "/details")
    rebound = await sandbox.api.send("GET", "/details", headers={"Host": "sandbox.example"})

    assert own.json == DETAILS
    assert own.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert (rebound.status, "a key" in rebound.text) == (400, False)
