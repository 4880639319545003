"""Odd input of every kind: refused with its place, or taken in one form; never a fault inside."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from models.database import Database
from tests.fake_discord import FakeDiscord
from tests.serving import Answer, Api, absent_database, as_admin, make_app, serving

CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { name payload } }"
TASKS = "query ($s: String) { tasks(search: $s) { data { name } } }"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def api(cipher: WebhookCipher, fake_discord: FakeDiscord) -> AsyncIterator[Api]:
    """The API of what is refused before anything is stored."""
    async with (
        absent_database() as database,
        serving(make_app(database, cipher, origin=fake_discord.origin)) as api,
    ):
        yield api


@pytest.fixture
async def storing(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> AsyncIterator[Api]:
    """The API with a database."""
    async with serving(make_app(database, cipher, origin=fake_discord.origin)) as api:
        yield api


@pytest.fixture
def given(fake_discord: FakeDiscord) -> dict[str, Any]:
    """What a task needs at least."""
    return {
        "name": "Report",
        "schedule": "0 9 1 1 *",
        "webhookUrl": fake_discord.url(),
        "payload": {"content": "hello"},
    }


async def raw(api: Api, body: str | bytes) -> Answer:
    """Send a body as it is; whatever it is, no fault inside may come of it."""
    with capture_logs() as logs:
        answer = await api.send("POST", "/graphql", headers={**as_admin(), **JSON}, data=body)
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert answer.status < 500
    return answer


def refused_paths(answer: Answer) -> list[list[object]]:
    assert answer.codes == ["BAD_USER_INPUT"], answer.text
    return [field["path"] for field in answer.json["errors"][0]["extensions"]["fieldErrors"]]


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("  Report\u00a0", "Report"),
        ("Cafe\u0301", "Café"),
        ("\u1100\u1161", "가"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("\ufb2c" * 33, "\u05e9\u05bc\u05c1" * 33),
    ],
)
async def test_a_name_is_stored_trimmed_and_composed(
    storing: Api, given: dict[str, Any], name: str, stored: str
) -> None:
    created = await storing.run(CREATE, input={**given, "name": name})

    assert created["createTask"]["name"] == stored


async def test_names_that_look_alike_are_one(storing: Api, given: dict[str, Any]) -> None:
    await storing.run(CREATE, input={**given, "name": "Café"})

    error = await storing.fail(CREATE, input={**given, "name": "Cafe\u0301"})

    assert error["extensions"]["code"] == "CONFLICT"
    found = await storing.run(TASKS, s="cafe\u0301")
    assert [task["name"] for task in found["tasks"]["data"]] == ["Café"]


@pytest.mark.parametrize("character", ["\0", "\n", "\t", "\x1b", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize("field", ["name", "schedule", "timezone", "webhookUrl"])
async def test_control_characters_are_refused_in_every_line_of_text(
    api: Api, given: dict[str, Any], field: str, character: str
) -> None:
    text = str(given.get(field, "UTC"))

    answer = await api.post(CREATE, {"input": {**given, field: f"{text[:1]}{character}{text[1:]}"}})

    assert refused_paths(answer) == [["input", field]]


@pytest.mark.parametrize("character", ["\0", "\x08", "\x0b", "\x1b", "\x7f", "\x9f"])
async def test_control_characters_are_refused_in_a_message(
    api: Api, given: dict[str, Any], character: str
) -> None:
    payload = {"content": f"a{character}", "embeds": [{"title": character}]}

    answer = await api.post(CREATE, {"input": {**given, "payload": payload}})

    assert ["input", "payload", "content"] in refused_paths(answer)


async def test_ends_of_lines_and_tabs_belong_to_a_message(
    storing: Api, given: dict[str, Any]
) -> None:
    payload = {"content": "a\r\n\tb"}

    created = await storing.run(CREATE, input={**given, "payload": payload})

    assert created["createTask"]["payload"] == payload


@pytest.mark.parametrize("field", ["name", "schedule", "timezone", "webhookUrl", "payload"])
@pytest.mark.parametrize("half", ["\\ud800", "\\udfff", "\\udc00\\ud800"])
async def test_half_of_a_surrogate_pair_is_refused(
    api: Api, given: dict[str, Any], field: str, half: str
) -> None:
    value = {"content": "HALF"} if field == "payload" else "HALF"
    body = json.dumps({"query": CREATE, "variables": {"input": {**given, field: value}}})
    document = json.dumps({"query": '{ tasks(search: "HALF") { data { id } } }'})

    for text in (
        body.replace("HALF", half),
        document.replace("HALF", half),
        document.replace("HALF", half.replace("\\", "\\\\")),
    ):
        assert (await raw(api, text)).codes == ["BAD_USER_INPUT"]


LEVELS = (60, 1_500, 10_000)
TOO_DEEP = {"BAD_USER_INPUT", "QUERY_TOO_COMPLEX"}


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * levels + "1" + closing * levels


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{{"query": {}}}',
        '{{"query": "{{ __typename }}", "variables": {}}}',
        (
            '{{"query": "query ($s: String) {{ tasks(search: $s) {{ data {{ id }} }} }}", '
            '"variables": {{"s": {}}}}}'
        ),
        '{{"query": "{{ __typename }}", "variables": {{"x": {}}}}}',
        '{{"query": "{{ __typename }}", "extensions": {{"x": {}}}}}',
    ],
)
async def test_a_body_that_is_nested_too_deep_is_no_fault(api: Api, body: str) -> None:
    for levels in (200, 1_000, 10_000, 90_000):
        for value in (nested(levels), nested(levels, "[", "]")):
            answer = await raw(api, body.format(value))

            assert set(answer.codes) <= {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "query",
    [
        "{ tasks(search: DEEP) { data { id } } }",
        "query ($s: String = DEEP) { tasks(search: $s) { data { id } } }",
        "mutation { createTask(input: {payload: DEEP}) { id } }",
        (
            'mutation { createTask(input: {name: "n", schedule: "@daily", webhookUrl: "u", '
            "payload: DEEP}) { id } }"
        ),
    ],
)
async def test_a_value_in_a_document_that_is_nested_too_deep_is_no_fault(
    api: Api, query: str
) -> None:
    for levels in LEVELS:
        for value in (nested(levels, "{a: "), nested(levels, "[", "]")):
            answer = await raw(api, json.dumps({"query": query.replace("DEEP", value)}))

            assert answer.codes
            assert set(answer.codes) <= TOO_DEEP


@pytest.mark.parametrize(
    ("head", "level", "closing"),
    [("{", "a{", "a}"), ("{", "...{", "}"), ("query ($s: ", "[", "]"), ("{ a(b: ", "[", "]")],
)
async def test_a_document_that_is_nested_too_deep_is_no_fault(
    api: Api, head: str, level: str, closing: str
) -> None:
    for levels in LEVELS:
        for text in (head + level * levels, head + level * levels + closing * levels):
            answer = await raw(api, json.dumps({"query": text}))

            assert answer.codes
            assert set(answer.codes) <= TOO_DEEP


@pytest.mark.parametrize("payload", [{"a": 1}, [1]])
async def test_a_message_has_at_most_32_levels(
    api: Api, given: dict[str, Any], payload: object
) -> None:
    for _ in range(40):
        payload = {"a": payload}

    answer = await api.post(CREATE, {"input": {**given, "payload": payload}})

    assert refused_paths(answer) == [["input", "payload", *["a"] * 32]]


NUMBERS = ["1e999", "-1e999", "1" * 5_000, "-" + "1" * 5_000, "0." + "1" * 5_000, f"{2**63}", "1e9"]


@pytest.mark.parametrize(
    "query",
    [
        "{ tasks(page: NUMBER) { data { id } } }",
        "query ($n: Int = NUMBER) { tasks(page: $n) { data { id } } }",
        (
            'mutation { createTask(input: {name: "n", schedule: "@daily", webhookUrl: "u", '
            'payload: {content: "c", embeds: [{color: NUMBER}]}}) { id } }'
        ),
    ],
)
async def test_a_number_in_a_document_that_is_out_of_range_is_refused(api: Api, query: str) -> None:
    for number in NUMBERS:
        answer = await raw(api, json.dumps({"query": query.replace("NUMBER", number)}))

        assert set(answer.codes) == {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "variables",
    [
        '{"p": NUMBER}',
        (
            '{"i": {"name": "n", "schedule": "@daily", "webhookUrl": "u", "payload": '
            '{"content": "c", "embeds": [{"color": NUMBER}]}}}'
        ),
        (
            '{"i": {"name": "n", "schedule": "@daily", "webhookUrl": "u", "payload": {}, '
            '"maxRetry": NUMBER}}'
        ),
    ],
)
async def test_a_number_in_variables_that_is_out_of_range_is_refused(
    api: Api, variables: str
) -> None:
    query = (
        "mutation ($i: CreateTaskInput!) { createTask(input: $i) { id } }"
        if '"i"' in variables
        else "query ($p: Int!) { tasks(page: $p) { data { id } } }"
    )
    for number in (*NUMBERS, "NaN", "Infinity", "-Infinity"):
        wrong = variables.replace("NUMBER", number)
        answer = await raw(api, f'{{"query": "{query}", "variables": {wrong}}}')

        assert set(answer.codes) == {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "instant",
    [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00-12:00",
        "9999-12-31T23:59:59+12:00",
    ],
)
async def test_far_dates_are_dates(storing: Api, instant: str) -> None:
    for date in ("dateFrom", "dateTo"):
        for place in ("logs", "auditLogs"):
            query = f'{{ {place}(filter: {{{date}: "{instant}"}}) {{ meta {{ total }} }} }}'
            assert (await storing.run(query))[place]["meta"] == {"total": 0}


@pytest.mark.parametrize(
    "instant",
    [
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-31T00:00:00",
        "2026-01-31T00:00:00+24:00",
    ],
)
async def test_dates_that_are_none_are_refused(api: Api, instant: str) -> None:
    query = f'{{ logs(filter: {{dateFrom: "{instant}"}}) {{ meta {{ total }} }} }}'

    assert set((await api.post(query)).codes) == {"BAD_USER_INPUT"}


@pytest.mark.parametrize("page", [1, 1_000_000])
async def test_the_last_page_of_all_is_empty(storing: Api, page: int) -> None:
    found = await storing.run(
        "query ($p: Int!) { logs(page: $p, limit: 100) { data { id } }"
        " auditLogs(page: $p, limit: 100) { data { id } } }",
        p=page,
    )

    assert found == {"logs": {"data": []}, "auditLogs": {"data": []}}
