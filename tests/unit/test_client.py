"""What the client asks of its HTTP library, and that it hands back whatever answer there is."""

import json
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from engine.client import DiscordClient
from engine.discord import WebhookAddress
from engine.verdict import Answer, Outcome, judge

ADDRESS = WebhookAddress(
    origin="https://discord.com", webhook_id="1" * 18, token="t" * 68, thread_id="2" * 18
)
REQUEST_URL = ADDRESS.request_url(with_components=True)
BODY = b'{"content":"hello"}'


class _Response(aiohttp.ClientResponse):
    """The mock leaves out an argument that newer releases of aiohttp need."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(), **kwargs)


@pytest.fixture
async def client() -> AsyncIterator[DiscordClient]:
    async with DiscordClient() as opened:
        yield opened


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (302, Outcome.REFUSED),
        (400, Outcome.REFUSED),
        (403, Outcome.LIMITED),
        (404, Outcome.REFUSED),
        (429, Outcome.LIMITED),
        (500, Outcome.UNCERTAIN),
        (503, Outcome.NOT_SENT),
    ],
)
async def test_every_status_is_handed_back_with_headers_and_body(
    client: DiscordClient, status: int, outcome: Outcome
) -> None:
    headers = {"X-RateLimit-Remaining": "4", "Retry-After": "7"}
    with aioresponses() as discord:
        discord.post(
            REQUEST_URL, status=status, headers=headers, body='{"id":"3"}', response_class=_Response
        )

        answer = await client.post(ADDRESS, BODY, with_components=True)

    assert isinstance(answer, Answer)
    assert (answer.status, json.loads(answer.body)) == (status, {"id": "3"})
    assert (answer.headers["x-ratelimit-remaining"], answer.headers["RETRY-AFTER"]) == ("4", "7")
    assert (answer.complete, judge(answer).outcome) == (True, outcome)


async def test_one_post_without_redirects_is_asked_for(client: DiscordClient) -> None:
    with aioresponses() as discord:
        discord.post(REQUEST_URL, status=204, response_class=_Response)

        await client.post(ADDRESS, BODY, with_components=True)

        (((method, url), (call,)),) = discord.requests.items()
    expected = URL(REQUEST_URL)
    assert (method, url.with_query(None)) == ("POST", expected.with_query(None))
    assert sorted(url.query.items()) == sorted(expected.query.items())
    assert call.kwargs["allow_redirects"] is False


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await DiscordClient().post(ADDRESS, BODY, with_components=False)


async def test_a_client_that_was_closed_says_so() -> None:
    client = DiscordClient()
    await client.open()
    await client.close()
    await client.close()

    with pytest.raises(RuntimeError, match="closed"):
        await client.post(ADDRESS, BODY, with_components=False)
