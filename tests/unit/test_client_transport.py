"""The client over real sockets: what it sends, how little it trusts, how it names what failed."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from engine.client import MAX_ANSWER_BYTES, USER_AGENT, DiscordClient
from engine.discord import WebhookAddress, parse_webhook_url
from engine.verdict import Answer, FailureKind, Outcome, TransportFailure, judge
from tests import fake_discord_behaviours as behaviours
from tests.fake_discord import Down, FakeDiscord
from tests.fake_discord_behaviours import Behaviour

BODY = b'{"content":"hello"}'
THREAD = "1098765432109876543"
TIMEOUT_SECONDS = 2.0


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with FakeDiscord(webhook_limit=None, channel_limit=None) as started:
        yield started


@pytest.fixture
async def client() -> AsyncIterator[DiscordClient]:
    async with DiscordClient() as opened:
        yield opened


@pytest.fixture
async def hasty() -> AsyncIterator[DiscordClient]:
    """A client with a short timeout."""
    async with DiscordClient(timeout_seconds=TIMEOUT_SECONDS) as opened:
        yield opened


def address_at(origin: str) -> WebhookAddress:
    return WebhookAddress(origin=origin, webhook_id="1" * 18, token="t" * 68)


def address_of(fake: FakeDiscord, *, query: str = "") -> WebhookAddress:
    return parse_webhook_url(fake.url() + query, origins=[fake.origin])


async def posted(client: DiscordClient, address: WebhookAddress) -> Answer | TransportFailure:
    """Post, and see that what came back holds no secret."""
    result = await client.post(address, BODY, with_components=False)
    assert address.token not in repr(result)
    assert address.token not in judge(result).message
    return result


async def failed(client: DiscordClient, address: WebhookAddress) -> TransportFailure:
    result = await posted(client, address)
    assert isinstance(result, TransportFailure)
    return result


async def answered(client: DiscordClient, address: WebhookAddress) -> Answer:
    result = await posted(client, address)
    assert isinstance(result, Answer)
    return result


@pytest.mark.parametrize(
    ("with_components", "query", "sent"),
    [
        (False, "", {"wait": "true"}),
        (True, "", {"wait": "true", "with_components": "true"}),
        (False, f"?thread_id={THREAD}", {"wait": "true", "thread_id": THREAD}),
    ],
)
async def test_a_request_has_the_form_that_discord_wants(
    fake: FakeDiscord,
    client: DiscordClient,
    with_components: bool,
    query: str,
    sent: dict[str, str],
) -> None:
    address = address_of(fake, query=query)

    answer = await client.post(address, BODY, with_components=with_components)

    assert judge(answer).outcome is Outcome.DELIVERED
    (request,) = fake.requests
    assert (request.webhook_id, request.token) == (address.webhook_id, address.token)
    assert (request.query, request.payload) == (sent, {"content": "hello"})
    assert dict(request.headers) == {
        "Host": f"127.0.0.1:{fake.port}",
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Content-Length": str(len(BODY)),
    }


async def test_a_message_outside_ascii_arrives_as_it_is(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    await client.post(address_of(fake), '{"content":"łódź 🚀"}'.encode(), with_components=False)

    assert fake.requests[0].payload == {"content": "łódź 🚀"}


async def test_no_cookie_goes_back(fake: FakeDiscord, client: DiscordClient) -> None:
    fake.script(None, (200, b"", {"Set-Cookie": "__cfruid=1; Path=/"}))

    for _ in range(2):
        await posted(client, address_of(fake))

    assert "Cookie" not in fake.requests[1].headers


async def test_proxies_of_the_environment_are_not_asked(
    fake: FakeDiscord, client: DiscordClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert (await answered(client, address_of(fake))).status == 200


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(
    fake: FakeDiscord, client: DiscordClient, status: int
) -> None:
    fake.script(None, behaviours.redirect(fake.url(), status))

    assert (await answered(client, address_of(fake))).status == status
    assert len(fake.requests) == 1


async def test_an_answer_is_handed_over_with_headers_in_any_case(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    fake.script(None, behaviours.limited(0.25, "shared"))

    answer = await answered(client, address_of(fake))

    assert (answer.status, answer.complete) == (429, True)
    assert answer.headers["x-ratelimit-SCOPE"] == "shared"
    assert b'"retry_after": 0.25' in answer.body


@pytest.mark.parametrize(
    ("size_bytes", "complete"), [(MAX_ANSWER_BYTES, True), (MAX_ANSWER_BYTES + 1, False)]
)
async def test_up_to_one_mebibyte_is_read(
    fake: FakeDiscord, client: DiscordClient, size_bytes: int, complete: bool
) -> None:
    fake.script(None, behaviours.big_body(size_bytes))

    answer = await answered(client, address_of(fake))

    assert (len(answer.body), answer.complete) == (MAX_ANSWER_BYTES, complete)


@pytest.mark.parametrize("behaviour", [behaviours.endless_body(400), behaviours.big_body()])
async def test_a_huge_answer_is_dropped_and_the_next_request_passes(
    fake: FakeDiscord, client: DiscordClient, behaviour: Behaviour
) -> None:
    fake.script(None, behaviour)

    answer = await answered(client, address_of(fake))

    assert (len(answer.body), answer.complete) == (MAX_ANSWER_BYTES, False)
    assert (await answered(client, address_of(fake))).complete


async def test_a_body_that_breaks_off_after_a_200_is_an_answer(
    fake: FakeDiscord, client: DiscordClient
) -> None:
    fake.script(None, behaviours.cut_body(200))

    answer = await answered(client, address_of(fake))

    assert (answer.status, answer.complete) == (200, False)
    assert answer.body == b'{"id": "1'
    assert judge(answer).outcome is Outcome.DELIVERED


async def test_a_body_that_stalls_after_a_200_is_an_answer(
    fake: FakeDiscord, hasty: DiscordClient
) -> None:
    fake.script(None, behaviours.stalled_body(200))

    answer = await answered(hasty, address_of(fake))

    assert (answer.status, answer.complete) == (200, False)
    assert judge(answer).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("compressed", [b"\x1f\x8b\x08not gzip", b""])
async def test_a_body_that_claims_a_coding_it_has_not_is_an_answer(
    fake: FakeDiscord, client: DiscordClient, compressed: bytes
) -> None:
    fake.script(None, (200, compressed, {"Content-Encoding": "gzip"}))

    assert (await answered(client, address_of(fake))).status == 200


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        pytest.param(behaviours.reset(), FailureKind.RESET, id="RST"),
        pytest.param(behaviours.raw(b""), FailureKind.RESET, id="closed"),
        pytest.param(behaviours.raw(b"HTTP/1.1 20"), FailureKind.RESET, id="half a status"),
        pytest.param(behaviours.raw(b"SSH-2.0-x\r\n\r\n"), FailureKind.PROTOCOL, id="no HTTP"),
        pytest.param(
            behaviours.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
            FailureKind.PROTOCOL,
            id="huge header",
        ),
    ],
)
async def test_no_status_after_the_body_left_is_a_failure_that_may_have_posted(
    fake: FakeDiscord, client: DiscordClient, behaviour: Behaviour, kind: FailureKind
) -> None:
    fake.script(None, behaviour)

    failure = await failed(client, address_of(fake))

    assert (failure.kind, failure.sent) == (kind, True)
    assert len(fake.requests) == 1


async def test_silence_ends_by_the_timeout_and_may_have_posted(
    fake: FakeDiscord, hasty: DiscordClient
) -> None:
    fake.script(None, behaviours.hang())
    started = time.monotonic()

    failure = await failed(hasty, address_of(fake))

    assert (failure.kind, failure.sent) == (FailureKind.TIMEOUT, True)
    # The loop counts in milliseconds.
    assert TIMEOUT_SECONDS - 0.002 <= time.monotonic() - started < TIMEOUT_SECONDS + 5


async def test_the_timeout_is_for_status_and_body_together(
    fake: FakeDiscord,
) -> None:
    fake.script(None, behaviours.slow(2.0, behaviours.stalled_body()))
    started = time.monotonic()

    async with DiscordClient(timeout_seconds=3.0) as client:
        await answered(client, address_of(fake))

    assert 2.998 <= time.monotonic() - started < 2.0 + 2.9


async def test_a_refused_connection_was_not_sent(fake: FakeDiscord, client: DiscordClient) -> None:
    await fake.set_down(Down.REFUSE)

    failure = await failed(client, address_of(fake))

    assert (failure.kind, failure.sent) == (FailureKind.CONNECT, False)
    assert "refused" in failure.message


async def test_a_name_that_is_not_found_was_not_sent(
    client: DiscordClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)

    failure = await failed(client, address_at("https://discord.example"))

    assert (failure.kind, failure.sent) == (FailureKind.DNS, False)
    assert "not known" in failure.message
