"""The Postman collection, run by newman against the real program."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import FieldNode, OperationDefinitionNode, parse, validate

from schema.core import core_schema
from schema.schema import build_schema
from tests.acceptance.running import API_KEY, running
from tests.docs.answers import Names
from tests.docs.player import run
from tests.fake_discord import FakeDiscord

COLLECTION = Path("task-scheduler.postman_collection.json")
NEWMAN = Path(__file__).with_name("clients") / "node_modules/.bin/newman"
WEBHOOK_ID = "123456789012345678"


def requests() -> Iterator[dict[str, Any]]:
    """Yield the requests of all folders in order."""
    for folder in orjson.loads(COLLECTION.read_bytes())["item"]:
        yield from folder["item"]


REQUESTS = list(requests())
OPERATIONS = [one["request"]["body"]["graphql"] for one in REQUESTS if "body" in one["request"]]


def test_every_query_and_mutation_is_there_and_fits_the_schema() -> None:
    schema = core_schema(build_schema())
    documents = [parse(operation["query"]) for operation in OPERATIONS]
    assert schema.query_type
    assert schema.mutation_type

    assert [found for document in documents for found in validate(schema, document)] == []
    used = {
        field.name.value
        for document in documents
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
        for field in node.selection_set.selections
        if isinstance(field, FieldNode)
    }
    assert used == {*schema.query_type.fields, *schema.mutation_type.fields}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one["name"])
def test_request_has_a_description_tests_and_an_example(request_: dict[str, Any]) -> None:
    scripts = [line for event in request_["event"] for line in event["script"]["exec"]]

    assert request_["request"]["description"]
    assert len([line for line in scripts if "pm.test(" in line]) >= 2
    assert request_["response"]


@pytest.mark.timeout(120)
async def test_collection_runs_from_top_to_bottom_and_its_examples_are_true(
    fake_discord: FakeDiscord, tmp_path: Path
) -> None:
    fake_discord.latency_seconds = 0.3  # so that the logs have to be asked for more than once
    settings = {
        "API_KEY": API_KEY,
        "DATA_DIR": str(tmp_path / "data"),
        "DISCORD_ORIGINS": fake_discord.origin,
    }
    variables = {"apiKey": API_KEY, "webhookUrl": fake_discord.url(WEBHOOK_ID)}
    told = tmp_path / "told.json"
    command = [str(NEWMAN), "run", str(COLLECTION), "--reporters", "cli,json"]
    command += ["--reporter-json-export", str(told), "--color", "off"]
    async with running(settings) as service:
        for name, value in (variables | {"origin": service.url}).items():
            command += ["--env-var", f"{name}={value}"]
        status, output = await run(command, {})

    assert status == 0, output
    told_run = orjson.loads(told.read_bytes())["run"]
    assert told_run["stats"]["assertions"]["total"] > len(REQUESTS)
    assert differences(told_run["executions"], fake_discord.origin) == []


def differences(executions: list[dict[str, Any]], origin: str) -> list[str]:
    """Return where the last answer of a request is another than its example."""
    last = {one["item"]["name"]: one["response"] for one in executions}
    names = Names()
    found = []
    for request in REQUESTS:
        [example] = request["response"]
        answer = last[request["name"]]
        found += (
            [] if example["code"] == answer["code"] else [f"{request['name']}: {answer['code']}"]
        )
        if example["_postman_previewlanguage"] == "json":
            real = orjson.loads(shown(bytes(answer["stream"]["data"]).decode(), origin))
            problems = names.learn(orjson.loads(example["body"]), real)
            found += [f"{request['name']}: {problem}" for problem in problems]
    return found


def shown(text: str, origin: str) -> str:
    """Return an answer as the examples have it: one name, and webhooks at Discord."""
    text = text.replace(f"{origin}/", "https://discord.com/")
    return re.sub(r"Raid reminder [0-9a-f-]{36}", "Raid reminder", text)
