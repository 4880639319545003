"""GraphQL over HTTP: keys, bodies, media types and statuses."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from tests.serving import ADMIN, READER, Api, absent_database, as_admin, make_app, serving

OLD, NEW = "application/json", "application/graphql-response+json"
NAME = "{ __typename }"
FAILING = '{ schedulePreview(schedule: "x") { description } }'
ADMIN_KEY, READER_KEY = ADMIN.key.get_secret_value(), READER.key.get_secret_value()


@pytest.fixture
async def api(cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with (
        absent_database() as database,
        serving(make_app(database, cipher, MAX_BODY_BYTES="2000")) as api,
    ):
        yield api


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ADMIN_KEY + "x"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {ADMIN_KEY}"},
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        {"json": {"query": NAME}},
        {"json": {"query": "{ __schema { types { name } } }"}},
        {"json": {"query": "{ nonsense"}},
        {"data": b"nonsense"},
        {"data": b"x" * 5000},
    ],
)
async def test_nothing_is_answered_without_a_key(
    api: Api, headers: Mapping[str, str], body: Mapping[str, object]
) -> None:
    answer = await api.send("POST", "/graphql", headers=headers, **body)

    assert (answer.status, answer.codes) == (401, ["UNAUTHENTICATED"])
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "data" not in answer.json


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ADMIN_KEY},
        {"Authorization": f"Bearer {ADMIN_KEY}"},
        {"X-API-Key": READER_KEY},
        {"authorization": f"bearer {READER_KEY}"},
    ],
)
async def test_a_key_is_taken_from_either_header(api: Api, headers: Mapping[str, str]) -> None:
    answer = await api.send("POST", "/graphql", headers=headers, json={"query": NAME})

    assert answer.json == {"data": {"__typename": "Query"}}


async def test_refused_key_still_has_the_media_type_that_was_asked_for(api: Api) -> None:
    answer = await api.send("POST", "/graphql", headers={"Accept": NEW}, json={"query": NAME})

    assert answer.headers["Content-Type"] == f"{NEW}; charset=utf-8"


async def test_each_authentication_is_logged_without_the_key(api: Api) -> None:
    with capture_logs() as logs:
        await api.send("POST", "/graphql", headers={"X-API-Key": "a-guess"}, json={})
        await api.send("POST", "/graphql", headers={}, json={})
        await api.post(NAME)

    tried = [entry for entry in logs if entry["event"].startswith("api_key_")]
    assert [(entry["event"], entry["log_level"], entry.get("reason")) for entry in tried] == [
        ("api_key_refused", "warning", "wrong"),
        ("api_key_refused", "warning", "missing"),
        ("api_key_accepted", "debug", None),
    ]
    assert {entry["client"] for entry in tried} == {"127.0.0.1"}
    assert "a-guess" not in str(logs)
    assert ADMIN_KEY not in str(logs)


@pytest.mark.parametrize(
    ("accept", "query", "status"),
    [
        (OLD, NAME, 200),
        (NEW, NAME, 200),
        (OLD, FAILING, 200),
        (NEW, FAILING, 200),
        (OLD, "{ nonsense", 200),
        (NEW, "{ nonsense", 400),
        (OLD, "{ nonsense }", 200),
        (NEW, "{ nonsense }", 400),
        (OLD, "query A { __typename } query B { __typename }", 200),
        (NEW, "query A { __typename } query B { __typename }", 400),
        (OLD, "query ($p: Int!) { tasks(page: $p) { data { id } } }", 200),
        (NEW, "query ($p: Int!) { tasks(page: $p) { data { id } } }", 400),
    ],
)
async def test_status_follows_the_media_type(
    api: Api, accept: str, query: str, status: int
) -> None:
    answer = await api.post(query, headers={"Accept": accept})

    assert answer.status == status
    assert answer.headers["Content-Type"] == f"{accept}; charset=utf-8"


@pytest.mark.parametrize("accept", [OLD, NEW])
async def test_data_is_left_out_only_when_nothing_ran(api: Api, accept: str) -> None:
    ran = await api.post(FAILING, headers={"Accept": accept})
    refused = await api.post("{ nonsense }", headers={"Accept": accept})

    assert ran.json["data"] is None
    assert ran.codes == ["BAD_USER_INPUT"]
    assert list(refused.json) == ["errors"]


@pytest.mark.parametrize("accept", [OLD, NEW])
@pytest.mark.parametrize(
    "body",
    [
        {"data": b"nonsense"},
        {"data": b""},
        {"data": b'{"query": "\xff"}'},
        {"data": b"5"},
        {"data": b'"{ __typename }"'},
        {"data": b"null"},
        {"data": b'[{"query": "{ __typename }"}]'},
        {"data": b"[" * 1500},
        {"data": b"{}"},
        {"data": b'{"query": ""}'},
        {"data": b'{"query": 5}'},
        {"data": b'{"query": "{ __typename }", "variables": [1]}'},
        {"data": b'{"query": "{ __typename }", "extensions": 5}'},
        {"data": b'{"query": "{ __typename }", "operationName": 5}'},
    ],
)
async def test_body_that_is_no_request_is_400(
    api: Api, accept: str, body: Mapping[str, object]
) -> None:
    headers = {**as_admin(), "Accept": accept, "Content-Type": "application/json"}

    answer = await api.send("POST", "/graphql", headers=headers, **body)

    assert (answer.status, answer.codes) == (400, ["BAD_USER_INPUT"])
    assert answer.headers["Content-Type"] == f"{accept}; charset=utf-8"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonp",
    ],
)
async def test_only_json_is_taken(api: Api, content_type: str) -> None:
    """What a page may send to another origin without asking must not be taken."""
    headers = {**as_admin(), "Content-Type": content_type}

    answer = await api.send("POST", "/graphql", headers=headers, data=b'{"query": "{a}"}')

    assert (answer.status, answer.codes) == (400, ["BAD_USER_INPUT"])


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_parameters_and_case_of_the_content_type_do_not_matter(
    api: Api, content_type: str
) -> None:
    headers = {**as_admin(), "Content-Type": content_type}

    answer = await api.send(
        "POST", "/graphql", headers=headers, data='{"query": "{ __typename }", "operationName": ""}'
    )

    assert answer.json == {"data": {"__typename": "Query"}}


async def test_body_may_be_as_long_as_allowed(api: Api) -> None:
    body = b'{"query": "{ __typename }"}'
    headers = {**as_admin(), "Content-Type": "application/json"}

    answer = await api.send("POST", "/graphql", headers=headers, data=body.ljust(2000))

    assert answer.status == 200


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 500


@pytest.mark.parametrize("data", ["announced", "in chunks"])
async def test_longer_body_is_413(api: Api, data: str) -> None:
    body: Any = b" " * 2001 if data == "announced" else chunks(5)
    headers = {**as_admin(), "Content-Type": "application/json"}

    answer = await api.send("POST", "/graphql", headers=headers, data=body)

    assert (answer.status, answer.codes) == (413, ["PAYLOAD_TOO_LARGE"])
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_405(api: Api, method: str) -> None:
    answer = await api.send(method, "/graphql")

    assert (answer.status, answer.codes) == (405, ["BAD_USER_INPUT"])
    assert answer.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("query", ["{ __typename }", "mutation { reloadTasks }"])
async def test_get_never_executes(api: Api, query: str) -> None:
    plain = await api.send("GET", f"/graphql?query={query}")
    browser = await api.send(
        "GET", f"/graphql?query={query}", headers={**as_admin(), "Accept": "text/html"}
    )

    assert (plain.status, plain.codes, plain.headers["Allow"]) == (405, ["BAD_USER_INPUT"], "POST")
    assert browser.headers["Content-Type"].startswith("text/html")
