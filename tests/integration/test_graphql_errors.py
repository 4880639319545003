"""Errors of every step: a code each, nothing of the inside, nothing without a key."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import get_introspection_query
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from models.database import Database
from tests.serving import Api, absent_database, as_reader, make_app, serving

TOTAL = "{ tasks { meta { total } } }"
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
LEAST = {"name": "n", "schedule": "@daily", "webhookUrl": "http://127.0.0.1/", "payload": {}}


@pytest.fixture
async def absent() -> AsyncIterator[Database]:
    async with absent_database() as database:
        yield database


@pytest.fixture
async def api(absent: Database, cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with serving(make_app(absent, cipher)) as api:
        yield api


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ tasks { meta { total } }", {}),
        ("{ tasks { meta { totl } } }", {}),
        ("{ tasks }", {}),
        ("fragment f on Query { __typename }", {}),
        ("{ tasks(status: GONE) { meta { total } } }", {}),
        ("query ($s: TaskStatus) { tasks(status: $s) { meta { total } } }", {"s": "GONE"}),
        ('{ task(id: "0189") { id } }', {}),
        ("query ($id: UUID!) { task(id: $id) { id } }", {"id": "0189"}),
        ("query ($id: UUID!) { task(id: $id) { id } }", {}),
        ('{ logs(filter: {dateFrom: "2026-01-31"}) { data { id } } }', {}),
        ("{ tasks(page: 2147483648) { data { id } } }", {}),
        ("{ tasks(page: null) { data { id } } }", {}),
        ("query A { __typename } query B { __typename }", {}),
        ("subscription { taskLogs { id } }", {}),
        (CREATE, {"input": {**LEAST, "name": None}}),
        (CREATE, {"input": {**LEAST, "maxRetry": "many"}}),
        (CREATE, {"input": {**LEAST, "unknown": 1}}),
        ("mutation { createTask(input: {name: null}) { id } }", {}),
        ("mutation { updateTask { id } }", {}),
    ],
)
async def test_what_a_client_does_wrong_is_bad_user_input(
    api: Api, query: str, variables: dict[str, Any]
) -> None:
    answer = await api.post(query, variables)

    assert set(answer.codes) == {"BAD_USER_INPUT"}
    assert "data" not in answer.json or answer.json["data"] is None
    assert all(isinstance(e["extensions"]["fieldErrors"], list) for e in answer.json["errors"])


async def test_wrong_variables_are_told_with_their_paths(api: Api) -> None:
    answer = await api.post(CREATE, {"input": {**LEAST, "name": None, "maxRetry": "many"}})

    fields = [e["extensions"]["fieldErrors"][0]["path"] for e in answer.json["errors"]]
    assert fields == [["input", "name"], ["input", "maxRetry"]]


async def test_named_operation_of_several_is_run(api: Api) -> None:
    several = "query A { a: __typename } query B { b: __typename }"

    assert (await api.post(several, operation="B")).json == {"data": {"b": "Query"}}
    unknown = await api.post(several, operation="C")
    assert unknown.codes == ["BAD_USER_INPUT"]
    assert "data" not in unknown.json


async def test_error_of_a_field_says_where_it_happened(api: Api) -> None:
    answer = await api.post("{ wrong: tasks(page: 0) { data { id } } }")

    assert answer.json["errors"][0]["path"] == ["wrong"]
    assert answer.json["errors"][0]["locations"]
    assert answer.status == 200


@pytest.mark.parametrize(
    "mutation",
    ["mutation { reloadTasks }", f"query A {TOTAL} mutation B {{ reloadTasks }}"],
)
async def test_reading_key_changes_nothing(api: Api, mutation: str) -> None:
    operation = "B" if "B" in mutation else None

    answer = await api.post(mutation, operation=operation, headers=as_reader())

    assert (answer.status, answer.codes) == (403, ["FORBIDDEN"])
    assert "data" not in answer.json


async def test_reading_key_reads(database: Database, cipher: WebhookCipher) -> None:
    async with serving(make_app(database, cipher)) as api:
        answer = await api.post(TOTAL, headers=as_reader())

    assert answer.json == {"data": {"tasks": {"meta": {"total": 0}}}}


async def test_introspection_answers_those_with_a_key(api: Api) -> None:
    names = [t["name"] for t in (await api.run(get_introspection_query()))["__schema"]["types"]]

    assert {"Task", "TaskLog", "CreateTaskInput"} <= set(names)
    assert not {"Subscription", "LogFeed"} & set(names)


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ __schema { types { name } } }", {}),
        ("{ task { nam } }", {}),
        ("{ taks { data { id } } }", {}),
        ("{ tasks(statu: ACTIVE) { data { id } } }", {}),
        ("{ tasks(status: ACTIV) { data { id } } }", {}),
        ("query ($s: TaskStatus) { tasks(status: $s) { data { id } } }", {"s": "ACTIV"}),
        ("query ($f: LogFiltr) { logs(filter: $f) { data { id } } }", {}),
        ("query ($f: LogFilter) { logs(filter: $f) { data { id } } }", {"f": {"taskI": None}}),
    ],
)
async def test_without_introspection_nothing_is_told_of_the_schema(
    absent: Database, cipher: WebhookCipher, query: str, variables: dict[str, Any]
) -> None:
    async with serving(make_app(absent, cipher, INTROSPECTION="off")) as api:
        answer = await api.post(query, variables)
        typename = await api.run("{ __typename }")

    assert set(answer.codes) == {"BAD_USER_INPUT"}
    assert "Did you mean" not in answer.text
    assert "types" not in answer.json.get("data", {})
    assert typename == {"__typename": "Query"}


async def test_fault_inside_is_masked_and_logged_once(
    database: Database, cipher: WebhookCipher
) -> None:
    async with database.connection() as connection:
        await connection.execute("alter table task_logs rename to secret_table")

    async with serving(make_app(database, cipher)) as api:
        with capture_logs() as logs:
            answer = await api.post(
                "{ a: logs { data { id } } b: logs { data { id } } }",
                headers={"X-Request-ID": "request-9"},
            )

    assert set(answer.codes) == {"INTERNAL_SERVER_ERROR"}
    assert "task_logs" not in answer.text
    assert answer.json["errors"][0]["extensions"]["requestId"] == "request-9"
    faults = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(faults) == len(answer.json["errors"])
    assert all(entry["request_id"] == "request-9" for entry in faults)


@pytest.mark.parametrize(
    "query", [TOTAL, "{ dashboardStats { total } }", "mutation { reloadTasks }"]
)
async def test_lost_database_is_told_clearly(api: Api, query: str) -> None:
    error = await api.fail(query)
    live = await api.send("GET", "/health/live")

    assert error["message"].startswith("The database can't be reached at the moment")
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert error["extensions"]["requestId"]
    assert "gone" not in str(error)
    assert live.status == 200
