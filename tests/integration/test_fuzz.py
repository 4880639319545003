"""A fuzz of the API, from its own schema and byte by byte: nothing of it is a fault inside."""

import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import mutations, queries
from structlog.testing import capture_logs
from structlog.typing import EventDict

from engine.cipher import WebhookCipher
from engine.engine import Engine
from models.database import Database
from schema.export import sdl
from tests.conftest import make_service
from tests.fake_discord import FakeDiscord
from tests.integration.odd_input import KNOWN_IDS, OPERATIONS, SCALARS, mutated, printed
from tests.serving import Answer, Api, as_admin, make_app, serving
from tests.tasks import make_task

# graphql-core cancels what is beside a failed field, a coroutine before its first step too. Then
# what that would have awaited says so; nothing else comes of it.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:coroutine .* was never awaited:RuntimeWarning",
        "ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning",
    ),
    pytest.mark.no_cover,  # other tests cover these lines, and tracing takes half of the time
]

FUZZ = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "150")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SDL = sdl()
# A few deletions would leave nothing to read or change.
UNDELETE = "update tasks set deleted_at = null where deleted_at is not null"
# What a client may be told here; INTERNAL_SERVER_ERROR is not among it.
CODES = {
    "BAD_USER_INPUT",
    "CONFLICT",
    "NOT_FOUND",
    "PAYLOAD_TOO_LARGE",
    "QUERY_TOO_COMPLEX",
    "UNAUTHENTICATED",
}
HEADERS = st.sampled_from(
    [
        "Accept",
        "Authorization",
        "Content-Encoding",
        "Cookie",
        "If-None-Match",
        "Origin",
        "Range",
        "User-Agent",
        "X-API-Key",
        "X-Forwarded-For",
        "X-Request-ID",
    ]
)
VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
CONTENT_TYPES = st.one_of(
    *[st.just("application/json")] * 4,
    st.sampled_from(["application/graphql", "text/plain", "", ";", 'a/b;c="', "application/json;"]),
    VISIBLE,
)


@pytest.fixture
async def api(
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[Api]:
    """The API with an engine and some tasks; afterwards it is well, and nothing went wrong."""
    service = make_service(cipher, fake_discord.origin)
    for task_id in KNOWN_IDS:
        task = await make_task(service, fake_discord, name=f"task {task_id}")
        async with database.transaction() as connection:
            await connection.execute("update tasks set id = $2 where id = $1", task.id, task_id)
            await connection.execute(
                "update task_cursors set task_id = $2 where task_id = $1", task.id, task_id
            )
    await engine.reloaded()
    app = make_app(database, cipher, origin="http://127.0.0.1", engine=engine)
    with capture_logs() as logs:
        async with serving(app) as api:
            yield api
            health = await api.send("GET", "/health")
            answer = await api.post("{ dashboardStats { total } tasks { meta { total } } }")
    assert (health.status, health.json["status"]) == (200, "ok"), health.text
    assert (
        answer.json["data"]["tasks"]["meta"]["total"]
        == answer.json["data"]["dashboardStats"]["total"]
    )
    assert [entry for entry in logs if is_fault(entry)] == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def is_fault(entry: EventDict) -> bool:
    return entry["log_level"] in {"error", "critical"} or "exc_info" in entry


def check(answer: Answer) -> None:
    """Check that an answer tells a client what it may be told."""
    assert answer.status < 500, answer.text
    assert "Traceback" not in answer.text
    if answer.json is not None:
        assert set(answer.codes) <= CODES, answer.text


@FUZZ
@given(
    operation=st.one_of(
        queries(SDL, custom_scalars=SCALARS, print_ast=printed),
        mutations(SDL, custom_scalars=SCALARS, print_ast=printed),
    )
)
async def test_operations_made_from_the_schema(
    api: Api, database: Database, operation: str
) -> None:
    async with database.connection() as connection:
        await connection.execute(UNDELETE)

    check(await api.post(operation))


@FUZZ
@given(operation=mutated())
async def test_right_operations_with_odd_variables(api: Api, operation: tuple[str, Any]) -> None:
    query, variables = operation
    # Written by Python's own module: it also writes NaN and halves of surrogate pairs.
    body = json.dumps({"query": query, "variables": variables})

    headers = {**as_admin(), "Content-Type": "application/json"}
    check(await api.send("POST", "/graphql", headers=headers, data=body))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Return bytes that are no request, or one with some of them changed, doubled or cut off."""
    if draw(st.booleans()):
        return draw(st.one_of(st.binary(max_size=200), st.text(max_size=50).map(str.encode)))
    query = draw(st.sampled_from(sorted(OPERATIONS)))
    body = json.dumps({"query": query, "variables": OPERATIONS[query]}).encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(start + 20, len(body))))
        body = body[:start] + draw(st.binary(max_size=5)) + body[end:]
    return body


@FUZZ
@given(
    method=st.sampled_from([*["POST"] * 12, "GET", "PUT", "DELETE", "OPTIONS", "HEAD"]),
    path=st.one_of(
        *[st.just("/graphql")] * 8,
        st.sampled_from(["/metrics", "/health", "/health/live", "/graphql/assets/app.js"]),
        VISIBLE.map(lambda text: f"/{text}"),
    ),
    content_type=CONTENT_TYPES,
    more=st.dictionaries(HEADERS, VISIBLE, max_size=3),
    body=bodies(),
)
async def test_bytes_of_every_kind(
    api: Api, method: str, path: str, content_type: str, more: dict[str, str], body: bytes
) -> None:
    headers = {**as_admin(), "Content-Type": content_type, **more}

    check(await api.send(method, path, headers=headers, data=body))
