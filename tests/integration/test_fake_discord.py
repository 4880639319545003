"""The fake Discord keeps the rules that the client is tested against."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from engine.client import DiscordClient
from engine.discord import parse_webhook_url
from engine.limits import lane_pause_seconds
from engine.verdict import FailureKind, Outcome, Stops, TransportFailure, Verdict, Waits, judge
from sandbox.discord_rules import Limit
from tests import fake_discord_behaviours as behaviours
from tests.fake_discord import Down, FakeDiscord

BODY = b'{"content":"hello"}'


@pytest.fixture
async def client() -> AsyncIterator[DiscordClient]:
    async with DiscordClient(timeout_seconds=10.0) as opened:
        yield opened


@pytest.fixture
async def hasty() -> AsyncIterator[DiscordClient]:
    """A client that soon gives up."""
    async with DiscordClient(timeout_seconds=2.0) as opened:
        yield opened


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord() as started:
        yield started


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(
    client: DiscordClient, fake: FakeDiscord, url: str, body: bytes = BODY, *, rich: bool = False
) -> Verdict:
    address = parse_webhook_url(url, origins=[fake.origin])
    return judge(await client.post(address, body, with_components=rich))


async def test_a_message_is_answered_with_its_id_and_channel(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    url = fake.url()

    first, second = [await post(client, fake, url) for _ in range(2)]

    assert (first.outcome, first.http_status) == (Outcome.DELIVERED, 200)
    assert first.message_id != second.message_id
    assert first.channel_id == fake.channel_of(fake.requests[0].webhook_id)


async def test_every_url_is_a_webhook_of_its_own_and_is_taken_by_the_parser(
    fake: FakeDiscord,
) -> None:
    addresses = [parse_webhook_url(fake.url(), origins=[fake.origin]) for _ in range(20)]

    assert len({address.key for address in addresses}) == 20


async def test_what_came_is_recorded(fake: FakeDiscord, client: DiscordClient) -> None:
    before = time.monotonic(), time.time()

    await post(client, fake, fake.url("123456789012345678"))

    (request,) = fake.requests
    assert before[0] <= request.at <= time.monotonic()
    assert before[1] <= request.wall <= time.time()
    assert (request.webhook_id, request.payload) == ("123456789012345678", {"content": "hello"})
    assert (request.query, request.status) == ({"wait": "true"}, 200)
    assert request.token not in repr(request)


async def test_the_sixth_request_of_a_window_is_limited(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    url = fake.url()

    verdicts = [await post(client, fake, url) for _ in range(6)]

    left = [verdict.bucket.remaining for verdict in verdicts if verdict.bucket]
    assert left == [4, 3, 2, 1, 0, 0]
    assert (verdicts[5].outcome, verdicts[5].waits) == (Outcome.LIMITED, Waits.WEBHOOK)
    assert verdicts[5].counts_as_invalid
    assert 0 < (verdicts[5].wait_seconds or 0) <= 2.05
    assert fake.limited == 1


async def test_who_obeys_the_headers_is_never_limited(client: DiscordClient) -> None:
    limit = Limit(sends=5, seconds=0.15)
    async with FakeDiscord(webhook_limit=limit, channel_limit=None) as fake:
        url = fake.url()
        for _ in range(16):
            verdict = await post(client, fake, url)
            await asyncio.sleep(lane_pause_seconds(verdict.bucket))

    assert [request.status for request in fake.requests] == [200] * 16


async def test_webhooks_of_one_channel_share_its_limit(client: DiscordClient) -> None:
    limit = Limit(sends=3, seconds=60.0)
    async with FakeDiscord(channel_limit=limit, channels={"1" * 18: "7", "2" * 18: "7"}) as fake:
        one, two, other = fake.url("1" * 18), fake.url("2" * 18), fake.url()
        verdicts = [await post(client, fake, url) for url in (one, two, one, two, other)]

    assert [verdict.http_status for verdict in verdicts] == [200, 200, 200, 429, 200]
    assert {verdict.channel_id for verdict in verdicts[:3]} == {"7"}
    assert (verdicts[3].waits, verdicts[3].counts_as_invalid) == (Waits.CHANNEL, False)
    assert (verdicts[3].wait_seconds or 0) > 59


async def test_all_webhooks_share_the_global_limit(client: DiscordClient) -> None:
    async with FakeDiscord(global_limit=Limit(sends=3, seconds=60.0)) as fake:
        verdicts = [await post(client, fake, fake.url()) for _ in range(4)]

    assert [verdict.http_status for verdict in verdicts] == [200, 200, 200, 429]
    assert (verdicts[3].waits, verdicts[3].counts_as_invalid) == (Waits.ORIGIN, True)


async def test_a_wrong_token_is_unauthorized(fake: FakeDiscord, client: DiscordClient) -> None:
    fake.url("1" * 18)

    verdict = await post(client, fake, fake.url("1" * 18, "w" * 68))

    assert (verdict.discord_code, verdict.stops) == (50027, Stops.WEBHOOK)


async def test_a_deleted_webhook_is_unknown(fake: FakeDiscord, client: DiscordClient) -> None:
    url = fake.url("1" * 18)
    fake.delete("1" * 18)

    assert (await post(client, fake, url)).stops is Stops.WEBHOOK_ID


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 50109),
        (b"[]", 50109),
        (b"{}", 50006),
        (b'{"content":"  "}', 50006),
        (b'{"components":[{"type":1}]}', 50006),
        (json.dumps({"content": "x" * 2001}).encode(), 50035),
        (b'{"content":"' + b"x" * 1_048_000 * 2 + b'"}', 40005),
    ],
)
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_wrong_message_is_refused(
    fake: FakeDiscord, client: DiscordClient, body: bytes, code: int
) -> None:
    verdict = await post(client, fake, fake.url(), body)

    assert (verdict.outcome, verdict.discord_code) == (Outcome.REFUSED, code)


async def test_components_count_only_when_asked_for(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    body = b'{"components":[{"type":1}]}'

    assert (await post(client, fake, fake.url(), body, rich=True)).outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v10/webhooks/{}/{}", {"Content-Type": "application/json"}, 204),
        ("/api/v10/webhooks/{}/{}?wait=false", {"Content-Type": "application/json"}, 204),
        ("/api/v10/webhooks/{}/{}?wait=true", {"Content-Type": "application/json"}, 200),
        ("/api/v10/webhooks/{}/{}?wait=maybe", {"Content-Type": "application/json"}, 400),
        ("/api/v10/webhooks/{}/{}?wait=true", {"Content-Type": "text/plain"}, 400),
        ("/api/v10/webhooks/{}/{}/slack", {"Content-Type": "application/json"}, 404),
        ("/api/webhooks/{}/{}", {"Content-Type": "application/json"}, 404),
        ("/api/v9/webhooks/{}/{}", {"Content-Type": "application/json"}, 404),
    ],
)
async def test_only_version_10_is_served_and_only_with_wait_is_the_message_shown(
    fake: FakeDiscord,
    http: aiohttp.ClientSession,
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    url = fake.origin + path.format("1" * 18, "t" * 68)

    async with http.post(url, data=BODY, headers=headers) as response:
        assert response.status == status
        assert (response.status == 204) is (await response.read() == b"")


async def test_a_get_of_a_webhook_is_not_allowed(
    fake: FakeDiscord, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{fake.origin}/api/v10/webhooks/{'1' * 18}/{'t' * 68}") as response:
        assert response.status == 405


async def test_scripts_are_used_up_one_a_request_those_of_the_webhook_first(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    one, two = fake.url("1" * 18), fake.url("2" * 18)
    fake.script(None, (500,), (501,))
    fake.script("1" * 18, (502, "<html>"), behaviours.answer(503))

    verdicts = [await post(client, fake, url) for url in (one, two, one, one, two)]

    assert [verdict.http_status for verdict in verdicts] == [502, 500, 503, 501, 200]
    assert [request.status for request in fake.requests] == [502, 500, 503, 501, 200]


async def test_what_was_not_answered_in_full_has_no_status(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    fake.script(None, behaviours.reset(), behaviours.cut_body())

    for _ in range(2):
        await post(client, fake, fake.url())

    assert [request.status for request in fake.requests] == [None, None]


async def test_limited_answers_count_whoever_gave_them(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    fake.script(None, behaviours.limited(), behaviours.edge_429(), behaviours.html_403())

    verdicts = [await post(client, fake, fake.url()) for _ in range(3)]

    assert [verdict.waits for verdict in verdicts] == [Waits.WEBHOOK, Waits.ORIGIN, Waits.ORIGIN]
    assert fake.limited == 2


@pytest.mark.parametrize(
    ("down", "outcome"),
    [
        (Down.REFUSE, Outcome.NOT_SENT),
        (Down.UNAVAILABLE, Outcome.NOT_SENT),
        (Down.HANG, Outcome.UNCERTAIN),
    ],
)
async def test_an_outage_ends_on_the_same_port(
    fake: FakeDiscord, client: DiscordClient, hasty: DiscordClient, down: Down, outcome: Outcome
) -> None:
    url = fake.url()
    await post(client, fake, url)

    await fake.set_down(down)
    during = await post(hasty if down is Down.HANG else client, fake, url)
    await fake.set_down(None)
    after = await post(client, fake, url)

    assert (during.outcome, after.outcome) == (outcome, Outcome.DELIVERED)


async def test_an_outage_breaks_what_is_open(fake: FakeDiscord, client: DiscordClient) -> None:
    fake.script(None, behaviours.hang())
    address = parse_webhook_url(fake.url(), origins=[fake.origin])
    posting = asyncio.create_task(client.post(address, BODY, with_components=False))
    await fake.wait_for(1)

    await fake.set_down(Down.REFUSE)

    failure = await posting
    assert isinstance(failure, TransportFailure)
    assert (failure.kind, failure.sent) == (FailureKind.RESET, True)


async def test_waiting_for_more_than_comes_ends_with_a_sentence(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    await post(client, fake, fake.url())

    await fake.wait_for(1)
    with pytest.raises(TimeoutError, match=r"1 of 2 requests came in 0\.02 s"):
        await fake.wait_for(2, timeout_seconds=0.02)


async def test_answers_take_as_long_as_was_asked(client: DiscordClient) -> None:
    async with FakeDiscord(latency_seconds=0.1) as fake:
        started = time.monotonic()

        await post(client, fake, fake.url())

    assert time.monotonic() - started >= 0.098  # the loop counts in milliseconds


async def test_a_sink_answers_and_records_without_checks(client: DiscordClient) -> None:
    async with FakeDiscord(sink=True) as fake:
        url = fake.url("1" * 18)
        verdicts = [await post(client, fake, url, b"{") for _ in range(40)]

    assert {verdict.outcome for verdict in verdicts} == {Outcome.DELIVERED}
    assert len({verdict.message_id for verdict in verdicts}) == 40
    assert [(request.webhook_id, request.status) for request in fake.requests] == [
        ("1" * 18, 200)
    ] * 40


async def test_as_a_process_it_prints_its_origin_reports_and_ends_on_a_signal(
    client: DiscordClient, http: aiohttp.ClientSession
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fake_discord", "--sink", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        origin = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
        url = f"{origin}/api/webhooks/{'1' * 18}/{'t' * 68}"
        await client.post(parse_webhook_url(url, origins=[origin]), BODY, with_components=False)
        async with http.get(f"{origin}/requests") as response:
            report = await response.json()
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 20)

    assert (report["limited"], [row[1:] for row in report["requests"]]) == (0, [["1" * 18, 200]])
    assert code == 0
