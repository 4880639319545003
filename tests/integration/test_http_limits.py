"""How often a client may ask, and how often with a wrong key."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from engine.cipher import WebhookCipher
from settings import Settings
from tests.serving import Answer, Api, absent_database, as_admin, as_reader, make_app, serving
from tests.sockets import open_socket
from tests.waiting import wait_until
from web.graphiql import SOURCES
from web.hits import Hits
from web.rate_limits import ClientLimits, RateLimited, network_of

NAME = "{ __typename }"
NEW = "application/graphql-response+json"
QUOTA = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
WRONG = {"X-API-Key": "wrong"}
LOCAL = "127.0.0.1"
PREFLIGHT = {"Origin": "https://a", "Access-Control-Request-Method": "POST"}


@asynccontextmanager
async def service(cipher: WebhookCipher, **env: Any) -> AsyncIterator[Api]:
    async with absent_database() as database, serving(make_app(database, cipher, **env)) as api:
        yield api


def of(client: str) -> dict[str, str]:
    """Return the headers with which a trusted proxy says who asks."""
    return {"X-Forwarded-For": client}


def quota(answer: Answer) -> list[int]:
    return [int(answer.headers[name]) for name in QUOTA]


async def test_requests_beyond_the_limit_are_429_until_it_is_over(cipher: WebhookCipher) -> None:
    async with service(cipher, RATE_LIMIT="3/hour") as api:
        answers = [await api.post(NAME) for _ in range(4)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    *answered, refused = answers
    assert [quota(answer)[:2] for answer in answered] == [[3, 2], [3, 1], [3, 0]]
    limit, remaining, reset = quota(refused)
    assert (limit, remaining) == (3, 0)
    assert 1 <= reset <= 3600
    assert refused.headers["Retry-After"] == str(reset)
    assert refused.codes == ["RATE_LIMITED"]
    assert refused.json["errors"][0]["message"].endswith(f"try again in {reset} s.")
    assert refused.headers["X-Request-ID"]


async def test_who_waits_as_long_as_told_is_answered_again(cipher: WebhookCipher) -> None:
    async with service(cipher, RATE_LIMIT="2/second") as api:
        answers = [await api.post(NAME) for _ in range(10)]
        refused = [answer for answer in answers if answer.status == 429]
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        over = time.monotonic() + 1
        await wait_until(lambda: time.monotonic() > over, what="end of the wait")
        assert (await api.post(NAME)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "root"),
    [
        ("GET", "/health", {}, ""),
        ("GET", "/health/live", {}, ""),
        ("GET", "/health/live", {}, "/below"),
        ("OPTIONS", "/graphql", PREFLIGHT, ""),
    ],
)
async def test_health_and_preflights_are_not_limited(
    cipher: WebhookCipher, method: str, path: str, headers: Mapping[str, str], root: str
) -> None:
    async with absent_database() as database:
        app = make_app(database, cipher, RATE_LIMIT="1/hour", ALLOWED_ORIGINS="https://a")
        async with serving(app, root_path=root) as api:
            others = [await api.send(method, path, headers=headers) for _ in range(3)]
            answers = [await api.post(NAME) for _ in range(2)]
            more = await api.send(method, path, headers=headers)

    assert {answer.status for answer in [*others, more]} & {404, 429} == set()
    assert "RateLimit-Limit" not in more.headers
    assert [answer.status for answer in answers] == [200, 429]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/metrics", as_reader()),
        ("/metrics", WRONG),
        ("/.well-known/security.txt", {}),
        ("/graphql", {"Accept": "text/html"}),
        ("/graphql/assets/app.js", {}),
        ("/nowhere", {}),
        ("/health/", {}),
    ],
)
async def test_everything_else_counts_before_a_key_is_looked_at(
    cipher: WebhookCipher, path: str, headers: Mapping[str, str]
) -> None:
    async with service(cipher, RATE_LIMIT="2/hour", FAILED_KEY_LIMIT="1/hour") as api:
        with capture_logs() as logs:
            answers = [await api.send("GET", path, headers=headers) for _ in range(4)]
        posted = await api.post(NAME)

    assert [answer.status for answer in answers[2:]] == [429, 429]
    assert [quota(answer)[0] for answer in answers[2:]] == [2, 2]
    assert len([line for line in logs if line["event"].startswith("api_key_")]) <= 2
    assert posted.status == 429


async def test_graphiql_loads_often_enough_within_the_default_limit(
    cipher: WebhookCipher,
) -> None:
    files = re.findall(r'"(graphql/assets/[^"]+)"', (SOURCES / "index.html").read_text("utf-8"))
    async with service(cipher, RATE_LIMIT=str(Settings.model_fields["rate_limit"].default)) as api:
        for _ in range(10):
            await api.send("GET", "/graphql", headers={"Accept": "text/html"})
            loaded = [await api.send("GET", f"/{name}", headers={}) for name in files]
            answer = await api.post(NAME)

    assert answer.status == 200
    assert {answer.status for answer in loaded} & {429} == set()


@pytest.mark.parametrize("key", [as_admin(), WRONG, {}])
async def test_upgrades_to_a_websocket_count_like_requests(
    cipher: WebhookCipher, key: Mapping[str, str]
) -> None:
    async with service(cipher, RATE_LIMIT="2/hour") as api:
        for _ in range(2):
            async with open_socket(api.url):
                pass
        with pytest.raises(InvalidStatus) as refused, capture_logs() as logs:
            async with open_socket(api.url, headers=key):
                pass

    answer = refused.value.response
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"]
    assert orjson.loads(answer.body or b"")["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert [(line["event"], line.get("code")) for line in logs] == [("socket", 429)]


async def test_429_has_the_media_type_that_was_asked_for(cipher: WebhookCipher) -> None:
    async with service(cipher, RATE_LIMIT="1/hour") as api:
        await api.post(NAME)
        answer = await api.post(NAME, headers={"Accept": NEW})

    assert answer.status == 429
    assert answer.headers["Content-Type"] == f"{NEW}; charset=utf-8"


async def test_refused_request_is_counted_and_logged(cipher: WebhookCipher) -> None:
    async with service(cipher, RATE_LIMIT="1/hour") as api:
        with capture_logs() as logs:
            await api.post("{ nonsense")
            await api.post(NAME)

    lines = [entry["status"] for entry in logs if entry["event"] == "request"]
    assert lines == [200, 429]


async def test_each_client_behind_a_trusted_proxy_has_its_own_limit(cipher: WebhookCipher) -> None:
    async with service(cipher, RATE_LIMIT="1/hour", TRUSTED_PROXIES=LOCAL) as api:
        with capture_logs() as logs:
            statuses = [
                (await api.post(NAME, headers=of(client))).status
                for client in ("198.51.100.1", "198.51.100.2", "6.6.6.6, 198.51.100.1")
            ]

    assert statuses == [200, 200, 429]
    clients = [entry["client"] for entry in logs if entry["event"] == "request"]
    assert clients == ["198.51.100.1", "198.51.100.2", "198.51.100.1"]


async def test_nobody_gets_around_the_limit_by_a_header(cipher: WebhookCipher) -> None:
    async with service(cipher, RATE_LIMIT="1/hour") as api:
        answers = [await api.post(NAME, headers=of(f"198.51.100.{n}")) for n in range(3)]

    assert [answer.status for answer in answers] == [200, 429, 429]


async def test_addresses_of_one_network_of_ipv6_are_one_client(cipher: WebhookCipher) -> None:
    async with service(cipher, RATE_LIMIT="1/hour", TRUSTED_PROXIES=LOCAL) as api:
        statuses = [
            (await api.post(NAME, headers=of(client))).status
            for client in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1")
        ]

    assert statuses == [200, 429, 200]


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        (None, "None"),
    ],
)
def test_what_stands_for_a_client(client: str | None, network: str) -> None:
    assert network_of(client) == network


async def test_whoever_guesses_keys_from_many_networks_of_ipv6_is_one_client(
    cipher: WebhookCipher,
) -> None:
    async with service(cipher, FAILED_KEY_LIMIT="1/hour", TRUSTED_PROXIES=LOCAL) as api:
        statuses = [
            (await api.send("POST", "/graphql", headers={**WRONG, **of(client)})).status
            for client in ("2001:db8:1:200::1", "2001:db8:1:2ff::1", "2001:db8:1:300::1")
        ]

    assert statuses == [401, 429, 401]


@pytest.mark.parametrize("headers", [WRONG, {}, {"Authorization": "Bearer wrong"}])
async def test_client_that_guesses_keys_is_refused_while_a_right_key_still_passes(
    cipher: WebhookCipher, headers: Mapping[str, str]
) -> None:
    async with service(cipher, FAILED_KEY_LIMIT="2/hour") as api:
        guesses = [
            await api.send("POST", "/graphql", headers=headers, json={"query": NAME})
            for _ in range(4)
        ]
        right = await api.post(NAME)
        again = await api.send("POST", "/graphql", headers=headers, json={"query": NAME})

    assert [guess.status for guess in guesses] == [401, 401, 429, 429]
    assert guesses[3].codes == ["RATE_LIMITED"]
    assert guesses[3].headers["RateLimit-Limit"] == "2"
    assert guesses[3].headers["Retry-After"] == guesses[3].headers["RateLimit-Reset"]
    assert (right.status, again.status) == (200, 429)


async def test_guesses_at_metrics_and_at_the_api_are_counted_together(
    cipher: WebhookCipher,
) -> None:
    async with service(cipher, FAILED_KEY_LIMIT="2/hour") as api:
        first = await api.send("GET", "/metrics", headers=WRONG)
        await api.send("POST", "/graphql", headers=WRONG, json={})
        third = await api.send("GET", "/metrics", headers=WRONG)
        right = await api.send("GET", "/metrics", headers=as_reader())

    assert (first.status, third.status, right.status) == (401, 429, 200)
    assert third.codes == ["RATE_LIMITED"]


async def test_right_keys_are_no_guesses(cipher: WebhookCipher) -> None:
    async with service(cipher, FAILED_KEY_LIMIT="1/hour") as api:
        await api.post(NAME)
        await api.post(NAME, headers=as_reader())
        guess = await api.send("POST", "/graphql", headers=WRONG, json={})

    assert guess.status == 401


async def test_operation_of_a_websocket_counts_like_a_request() -> None:
    limits = ClientLimits(Hits(), rate_limit="1/hour", failed_key_limit="1/hour")

    await limits.admit(LOCAL)
    await limits.admit(None)
    with pytest.raises(RateLimited, match="too many requests; try again in") as refused:
        await limits.admit(LOCAL)
    await limits.refuse_key(LOCAL)
    with pytest.raises(RateLimited, match="too many requests without a right API key"):
        await limits.refuse_key(LOCAL)

    assert refused.value.quota.limit == 1


@pytest.mark.parametrize("accept", ["application/json", NEW])
@pytest.mark.parametrize("mutation", ["mutation { reloadTasks }", "mutation { __typename }"])
async def test_reading_key_that_changes_something_is_403(
    cipher: WebhookCipher, accept: str, mutation: str
) -> None:
    async with service(cipher) as api:
        answer = await api.post(mutation, headers={**as_reader(), "Accept": accept})
        admin = await api.post("mutation { __typename }")

    assert (answer.status, answer.codes) == (403, ["FORBIDDEN"])
    assert list(answer.json) == ["errors"]
    assert admin.status == 200


async def test_several_keys_are_good_at_once(cipher: WebhookCipher) -> None:
    async with service(cipher) as api:
        answers = [await api.post(NAME, headers=headers) for headers in (as_admin(), as_reader())]

    assert [answer.status for answer in answers] == [200, 200]
