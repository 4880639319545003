"""What browsers are told with every answer, and which pages may read it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from tests.serving import Api, absent_database, as_admin, make_app, serving
from web.headers import HEADERS, SecurityHeaders

PAGE, STRANGER = "https://board.example", "https://evil.example"
NAME = "{ __typename }"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "API_KEY": "kJ3vQ9xT7mZ2pL5wR8nB4cF6",
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}
TXT = "/.well-known/security.txt"


@asynccontextmanager
async def service(cipher: WebhookCipher, **env: Any) -> AsyncIterator[Api]:
    async with absent_database() as database, serving(make_app(database, cipher, **env)) as api:
        yield api


@pytest.fixture
async def api(cipher: WebhookCipher) -> AsyncIterator[Api]:
    """A service that the page may use, which refuses much."""
    async with service(
        cipher,
        ALLOWED_ORIGINS=f"{PAGE},http://localhost:5173",
        TRUSTED_PROXIES="127.0.0.1",
        MAX_BODY_BYTES="2000",
        RATE_LIMIT="1/hour",
    ) as api:
        yield api


def anew(client: int, **headers: str) -> dict[str, str]:
    """Return the headers of a client that has not asked yet, on the page."""
    return {**as_admin(), "X-Forwarded-For": f"198.51.100.{client}", "Origin": PAGE, **headers}


async def every_kind_of_answer(api: Api) -> dict[int, Mapping[str, str]]:
    """Return the headers of one answer of each status."""
    json = {"query": NAME}
    answers = [
        await api.send("POST", "/graphql", headers=anew(1), json=json),
        await api.send("POST", "/graphql", headers=anew(1), json=json),
        await api.send("POST", "/graphql", headers=anew(2), json=[]),
        await api.send("POST", "/graphql", headers={"Origin": PAGE}, json=json),
        await api.send("POST", "/graphql", headers=anew(3), json={"query": "x" * 3000}),
        await api.send("PUT", "/graphql", headers=anew(4), json=json),
        await api.send("GET", "/nowhere", headers=anew(5)),
    ]
    return {answer.status: answer.headers for answer in answers}


async def test_every_answer_has_the_headers_of_security(api: Api) -> None:
    answers = await every_kind_of_answer(api)

    assert sorted(answers) == [200, 400, 401, 404, 405, 413, 429]
    for headers in answers.values():
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert len(headers.getall("Content-Security-Policy")) == 1  # type: ignore[attr-defined] # of aiohttp
        assert "Strict-Transport-Security" not in headers
        assert "Server" not in headers


async def test_the_page_can_read_every_answer_and_what_its_headers_say(api: Api) -> None:
    for headers in (await every_kind_of_answer(api)).values():
        assert headers["Access-Control-Allow-Origin"] == PAGE
        assert "Origin" in headers["Vary"]
        assert headers["Access-Control-Expose-Headers"] == (
            "X-Request-ID, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
        )
        assert "Access-Control-Allow-Credentials" not in headers
        assert headers["X-Request-ID"]


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a secret of the inside")


async def test_page_can_read_that_something_went_wrong_inside(
    cipher: WebhookCipher,
) -> None:
    async with absent_database() as database:
        app = make_app(database, cipher, ALLOWED_ORIGINS=PAGE)
        app.mount("/broken", failing)
        async with serving(app) as api:
            answer = await api.send("GET", "/broken/", headers={"Origin": PAGE})

    assert (answer.status, answer.codes) == (500, ["INTERNAL_SERVER_ERROR"])
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Request-ID"] == answer.json["errors"][0]["extensions"]["requestId"]


async def test_other_pages_can_read_nothing(api: Api) -> None:
    answer = await api.send("POST", "/graphql", headers=anew(1, Origin=STRANGER), json={})

    assert "Access-Control-Allow-Origin" not in answer.headers


def preflight(origin: str, method: str = "POST", headers: str = "") -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return asked | ({"Access-Control-Request-Headers": headers} if headers else {})


async def test_the_page_may_send_what_the_api_takes(api: Api) -> None:
    asked = preflight(PAGE, headers="x-api-key,authorization,content-type,x-request-id")

    answer = await api.send("OPTIONS", "/graphql", headers=asked)

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert answer.headers["Access-Control-Max-Age"] == "7200"
    assert answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "asked",
    [
        preflight(STRANGER),
        preflight(f"{PAGE}.evil.example"),
        preflight("null"),
        preflight(PAGE, "DELETE"),
        preflight(PAGE, headers="x-other"),
    ],
)
async def test_other_preflights_are_refused(api: Api, asked: Mapping[str, str]) -> None:
    answer = await api.send("OPTIONS", "/graphql", headers=asked)

    assert answer.status == 400


async def test_without_allowed_origins_there_is_no_cors(cipher: WebhookCipher) -> None:
    async with service(cipher) as api:
        asked = await api.send("OPTIONS", "/graphql", headers=preflight(PAGE))
        posted = await api.post(NAME, headers={"Origin": PAGE})

    assert (asked.status, posted.status) == (405, 200)
    for answer in (asked, posted):
        assert not [name for name in answer.headers if name.startswith("Access-Control-")]


@pytest.mark.parametrize(
    ("proxies", "said", "is_told"),
    [("127.0.0.1", "https", True), ("127.0.0.1", "http", False), ("10.0.0.1", "https", False)],
)
async def test_browsers_are_told_to_stay_with_tls_behind_it_alone(
    cipher: WebhookCipher, proxies: str, said: str, is_told: bool
) -> None:
    async with service(cipher, TRUSTED_PROXIES=proxies) as api:
        answer = await api.send("GET", "/health/live", headers={"X-Forwarded-Proto": said})

    assert ("Strict-Transport-Security" in answer.headers) is is_told


async def test_page_of_graphiql_keeps_its_own_policy(cipher: WebhookCipher) -> None:
    async with service(cipher) as api:
        page = await api.send("GET", "/graphql", headers={"Accept": "text/html"})
        asset = await api.send("GET", "/graphql/assets/page.css", headers={})

    for answer in (page, asset):
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Frame-Options"] == "DENY"


async def setting(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"x-frame-options", b"SAMEORIGIN"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body"})


async def test_what_an_answer_says_itself_stands() -> None:
    async with serving(SecurityHeaders(setting)) as api:
        answer = await api.send("GET", "/")

    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize("roles", ["api", "worker"])
async def test_security_txt_says_whom_to_tell_for_a_year(cipher: WebhookCipher, roles: str) -> None:
    async with service(cipher, ROLES=roles) as api:
        answer = await api.send("GET", TXT, headers={})
        head = await api.send("HEAD", TXT, headers={})

    assert (answer.status, head.status, head.text) == (200, 200, "")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    contact, expires, language = answer.text.splitlines()
    assert contact == "Contact: mailto:security@localhost"
    assert language == "Preferred-Languages: en"
    left = datetime.fromisoformat(expires.removeprefix("Expires: ")) - datetime.now(UTC)
    assert timedelta(days=364) < left <= timedelta(days=365)


async def test_security_txt_is_made_of_the_settings(cipher: WebhookCipher) -> None:
    async with service(
        cipher,
        SECURITY_CONTACT="https://example.com/report",
        SECURITY_EXPIRES="2999-01-31T02:00:00+02:00",
    ) as api:
        answer = await api.send("GET", TXT, headers={})

    assert answer.text == (
        "Contact: https://example.com/report\n"
        "Expires: 2999-01-31T00:00:00Z\n"
        "Preferred-Languages: en\n"
    )


@pytest.mark.parametrize(
    ("env", "warnings"),
    [
        (PRODUCTION, ["security_contact_is_default"]),
        ({**PRODUCTION, "SECURITY_CONTACT": "mailto:security@example.com"}, []),
        ({}, []),
        ({"SECURITY_EXPIRES": "2020-01-31T00:00:00Z"}, ["security_expires_is_over"]),
    ],
)
async def test_what_is_wrong_with_security_txt_is_said_once(
    cipher: WebhookCipher, env: Mapping[str, str], warnings: list[str]
) -> None:
    with capture_logs() as logs:
        async with service(cipher, **env) as api:
            await api.send("GET", TXT, headers={})
            await api.send("GET", TXT, headers={})

    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == warnings


async def test_security_txt_that_is_over_ends_in_a_year_instead(cipher: WebhookCipher) -> None:
    async with service(cipher, SECURITY_EXPIRES="2020-01-31T00:00:00Z") as api:
        answer = await api.send("GET", TXT, headers={})

    expires = datetime.fromisoformat(answer.text.splitlines()[1].removeprefix("Expires: "))
    assert expires > datetime.now(UTC) + timedelta(days=364)
