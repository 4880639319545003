"""No secret shows anywhere, whatever happens to a task and whatever is sent to the service."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.fernet import Fernet

from models.embedded import EmbeddedPostgres
from models.orm import credentials
from tests.acceptance.leaks import Client, Places, echo, everything_in
from tests.acceptance.running import Service, running
from tests.fake_discord import FakeDiscord
from tests.fake_discord_behaviours import Behaviour, cut_body, hang, raw, redirect, reset
from tests.serving import closed_port
from tests.waiting import wait_until

API_KEY = "an-admin-key-that-nobody-guesses"
READ_KEY = "a-reading-key-that-nobody-guesses"
ENCRYPTION_KEYS = [Fernet.generate_key().decode() for _ in range(2)]
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id webhookUrl } }"
UPDATE = """
mutation ($id: UUID!, $input: UpdateTaskInput!) {
  updateTask(id: $id, input: $input) { webhookUrl payload }
}
"""
OF_TASK = "mutation ($id: UUID!) {{ {}(id: $id) {{ id }} }}"

# What Discord, or what stands before it, may answer with the URL or the token in it.
MISBEHAVIOURS: dict[str, list[Behaviour]] = {
    "delivered": [echo(200, lambda url, token: {"id": token, "channel_id": token, "url": url})],
    "deleted": [echo(404, lambda url, token: {"code": 10015, "message": f"Unknown {url} {token}"})],
    "wrong token": [echo(401, lambda url, token: {"code": 50027, "message": f"Invalid {token}"})],
    "refused": [
        echo(
            400,
            lambda url, token: {
                "code": 50035,
                "message": f"Invalid Form Body of {url}",
                "errors": {
                    token: {"_errors": [{"code": token, "message": url}]},
                    "." * 250: {token: {"_errors": [url]}},
                },
            },
        )
    ],
    "error page": [echo(500, lambda url, token: f"<html>{url} {token}</html>")] * 2,
    "error text": [echo(500, lambda url, token: f"no {token} in {url}".encode())] * 2,
    "limited": [
        echo(
            429,
            lambda url, token: {"message": f"{url} limited", "retry_after": 0.1, "global": False},
            **{"X-RateLimit-Scope": "user", "X-RateLimit-Bucket": "URL"},
        )
    ],
    "redirected": [echo(302, lambda url, token: url.encode(), Location="URL")],
    "sent elsewhere": [redirect("//elsewhere.invalid/")],
    "reset": [reset()] * 2,
    "cut": [cut_body(500)] * 2,
    "no HTTP": [raw(b"nonsense\r\n\r\n")] * 2,
    "no answer": [hang()],
}


@pytest.fixture
async def database_url(tmp_path: Path) -> AsyncIterator[str]:
    """A server of our own that writes down each statement with its parameters."""
    server = EmbeddedPostgres(tmp_path / "database", durable=False)
    url = await asyncio.to_thread(server.start)
    connection = await asyncpg.connect(**credentials(url))
    await connection.execute("alter system set log_statement = 'all'")
    await connection.execute("select pg_reload_conf()")
    await connection.close()
    yield url
    await asyncio.to_thread(server.stop)


@pytest.fixture
def closed_origin() -> Iterator[str]:
    """An origin where nobody listens."""
    with closed_port() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def service(
    database_url: str, fake_discord: FakeDiscord, closed_origin: str, tmp_path: Path
) -> AsyncIterator[Service]:
    settings = {
        "API_KEYS": f"ops:{API_KEY}:admin,looker:{READ_KEY}:read",
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "DISCORD_ORIGINS": f"{fake_discord.origin},{closed_origin}",
        "ENCRYPTION_KEYS": ",".join(ENCRYPTION_KEYS),
        "LOG_LEVEL": "DEBUG",
        "RUN_DEADLINE_SECONDS": "15",
        "RATE_LIMIT": "100000/minute",
        "FAILED_KEY_LIMIT": "100000/minute",
    }
    async with running(settings) as service:
        yield service


def a_task(name: str, url: str, **fields: object) -> dict[str, object]:
    return {
        "name": name,
        "schedule": "0 0 1 1 *",
        "webhookUrl": url,
        "payload": {"content": "the text of a message"},
        "maxRetry": 1,
        **fields,
    }


async def live_and_fail(client: Client, fake: FakeDiscord, closed_origin: str) -> None:
    """Create a task for every way in which its request may end, and let it end so."""
    urls = {name: fake.url() for name in MISBEHAVIOURS}
    for name, behaviours in MISBEHAVIOURS.items():
        fake.script(urls[name].split("/")[-2], *behaviours)
    urls["nobody there"] = fake.url().replace(fake.origin, closed_origin)
    for name, url in urls.items():
        created = await client.post(CREATE, {"input": a_task(name, url)})
        task_id = created["data"]["createTask"]["id"]
        await client.post(OF_TASK.format("triggerTask"), {"id": task_id})

    async def have_ended() -> bool:
        answer = await client.post("{ engineStatus { queued } }")
        return bool(answer["data"]["engineStatus"]["queued"] == 0)

    await wait_until(have_ended, what="end of all attempts", timeout_seconds=45)


async def change_and_delete(client: Client, fake: FakeDiscord) -> None:
    """Change a task's URL, its token alone, turn it off and on, and delete it."""
    url = fake.url()
    created = await client.post(CREATE, {"input": a_task("changing", url)})
    task_id = created["data"]["createTask"]["id"]
    webhook_id = url.split("/")[-2]
    fake.tokens["other"] = "o0-_" * 17
    for new in (fake.url(), f"{url}?thread_id=123456789012345678", url):
        await client.post(UPDATE, {"id": task_id, "input": {"webhookUrl": new}})
    new_token = fake.url(webhook_id, fake.tokens["other"])
    await client.post(UPDATE, {"id": task_id, "input": {"webhookUrl": new_token}})
    for name in ("toggleTask", "toggleTask", "triggerTask", "deleteTask"):
        await client.post(OF_TASK.format(name), {"id": task_id})


def wrong_variables(url: str) -> Iterator[tuple[str, object]]:
    """Yield operations with the URL in places where it does not belong, or in a wrong form."""
    token = url.rpartition("/")[2]
    long = " " * 150 + url + " " * 200
    right = a_task("wrong", url)
    wrong: dict[str, Any] = {
        "name": [url, [url], {"url": url}],
        "schedule": [url, token, f"@{token}", f"* * * * {token}", [url]],
        "timezone": [url, token, url[:100], {"a": url}],
        "webhookUrl": [f"{url}/slack", f"{url}#", f"{url}?x={token}", url + "é", url * 9, [url]],
        "payload": [url, {token: 1}, {url: 1}, {"content": 5, token: {"a": token}}, [url]],
        "maxRetry": [url, long, token],
        "status": [url, long, token],
        "misfireGraceSeconds": [url, long],
        token: [1],
    }
    for name, values in wrong.items():
        for value in values:
            yield CREATE, {"input": {**right, name: value}}
            yield UPDATE, {"id": "00000000-0000-0000-0000-000000000000", "input": {name: value}}
    yield UPDATE, {"id": url, "input": {}}
    yield CREATE, {"input": url}
    yield CREATE, {"input": [right]}
    yield CREATE, {token: right, url: right}
    for query in (
        "query ($v: String) { tasks(search: $v) { data { id } } }",
        "query ($v: Int!) { tasks(page: $v) { data { id } } }",
        "query ($v: TaskStatus) { tasks(status: $v) { data { id } } }",
        "query ($v: UUID!) { task(id: $v) { id } }",
        "query ($v: AuditFilter) { auditLogs(filter: $v) { data { id } } }",
        "query ($v: AuditFilter) { auditLogs(filter: {actor: $v}) { data { id } } }",
        "query ($v: DateTime) { logs(filter: {dateFrom: $v}) { data { id } } }",
        "query ($v: String!) { schedulePreview(schedule: $v) { description } }",
        'query ($v: String!) { schedulePreview(schedule: "@daily", timezone: $v) { timezone } }',
    ):
        yield query, {"v": url}
        yield query, {"v": [long]}
    for text in (url, url[:-1], f'"{url}', f'"{url}"', f'"""{url}"""', token):
        yield f"{{ tasks(search: {text}) {{ data {{ id }} }} }}", None
        yield f"mutation {{ deleteTask(id: {text}) {{ id }} }}", None
        yield f'mutation {{ createTask(input: {{webhookUrl: {text}, name: "x"}}) {{ id }} }}', None
        yield text, None


async def send_wrong(client: Client, url: str) -> None:
    """Send the URL and the token in every wrong way."""
    token = url.rpartition("/")[2]
    for query, variables in wrong_variables(url):
        await client.post(query, variables)
    await client.post("query A { __typename } query B { __typename }", operationName=token)
    await client.post("{ __typename }", operationName=url)
    await client.post(f"query a{token.replace('-', '_')} {{ tasks {{ data {{ id }} }} }}")
    key = {"X-API-Key": API_KEY}
    as_json = {**key, "Content-Type": "application/json"}
    for body in (url, f'{{"query": "{url}', f'{{"query": {url}}}', f'["{url}"]', f'"{url}"'):
        await client.send("POST", "/graphql", data=body, headers=as_json)
        await client.send("POST", "/graphql", data=body, headers={**key, "Content-Type": url})
    for name in ("X-API-Key", "X-Request-ID", "Origin", "Accept", "X-Forwarded-For", "User-Agent"):
        await client.send("POST", "/graphql", json={"query": url}, headers={**key, name: url})
        await client.send("POST", "/graphql", json={"query": url}, headers={**key, name: token})
    await client.send("POST", "/graphql", headers={"Authorization": f"Bearer {token}"})
    path = url.partition("127.0.0.1")[2].partition("/")[2]
    for place in (f"/{path}", f"/graphql/{token}", f"/graphql?query={url}", f"/{'x' * 150}/{path}"):
        await client.send("POST", place, headers=key)
        await client.send("GET", place, headers={})


async def break_the_database(client: Client, database_url: str, url: str) -> None:
    """Make statements fail, so that errors that nobody expected are logged."""
    connection = await asyncpg.connect(**credentials(database_url))
    statements = (
        "alter table audit_logs rename to elsewhere",
        "alter table elsewhere rename to audit_logs",
        "alter table tasks add constraint shut check (webhook_url = '') not valid",
        "alter table tasks drop constraint shut",
    )
    try:
        for broken, mended in zip(statements[::2], statements[1::2], strict=True):
            await connection.execute(broken)
            answer = await client.post(CREATE, {"input": a_task("broken", url)})
            assert answer["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            await connection.execute(mended)
    finally:
        await connection.close()


@pytest.mark.timeout(120)
async def test_no_secret_shows_anywhere(
    service: Service,
    fake_discord: FakeDiscord,
    closed_origin: str,
    database_url: str,
    tmp_path: Path,
) -> None:
    places = Places()
    client = Client(service, places, API_KEY)
    pasted = fake_discord.url()

    await live_and_fail(client, fake_discord, closed_origin)
    await change_and_delete(client, fake_discord)
    await send_wrong(client, pasted)
    await break_the_database(client, database_url, pasted)
    await client.send("POST", "/graphql", headers={"X-API-Key": READ_KEY}, json={"query": "{x}"})
    await client.read_everything()
    rows = await everything_in(database_url, places)
    assert await service.stop() == 0

    places.add("the output", service.text)
    (server_log,) = (tmp_path / "database").glob("*/server.log")
    statements = server_log.read_text()
    places.add("the statements", statements)
    secrets = {
        **{f"token {n}": token for n, token in enumerate(fake_discord.tokens.values())},
        "API_KEY": API_KEY,
        "the read key": READ_KEY,
        **{f"encryption key {n}": key for n, key in enumerate(ENCRYPTION_KEYS)},
    }
    assert sorted(set(places.leaks(secrets))) == []
    assert rows > 3 * len(MISBEHAVIOURS)
    assert "Parameters: $1 = " in statements
    assert "unexpected_error" in service.text
    assert "the text of a message" not in service.text
