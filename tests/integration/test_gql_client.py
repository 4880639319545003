"""A real client in Python, gql, against the service: create, list, fail, poll and subscribe."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gql import Client, GraphQLRequest, gql
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.async_transport import AsyncTransport
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.exceptions import ConnectionClosed

from engine.cipher import WebhookCipher
from engine.engine import Engine
from models.database import Database
from tests.conftest import StartEngine
from tests.fake_discord import FakeDiscord
from tests.serving import Api, as_admin, make_app, serving
from tests.waiting import wait_until

CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id name } }"
LIST = "{ tasks { data { id name } meta { total } } }"
TRIGGER = "mutation ($id: UUID!) { triggerTask(id: $id) { id } }"
FEED = """
query ($after: String) { logFeed(after: $after) { entries { id status } cursor hasMore } }
"""
LIVE = "subscription ($id: UUID) { taskLogs(taskId: $id) { id status task { name } } }"


@pytest.fixture
async def engine(start_engine: StartEngine) -> Engine:
    return await start_engine(roles=frozenset({"api", "scheduler", "worker"}))


@pytest.fixture
async def api(
    database: Database, cipher: WebhookCipher, engine: Engine, fake_discord: FakeDiscord
) -> AsyncIterator[Api]:
    app = make_app(database, cipher, origin=fake_discord.origin, engine=engine)
    async with serving(app) as api:
        yield api


@pytest.fixture(params=["http", "websocket by headers", "websocket by its first message"])
def transport(request: pytest.FixtureRequest, api: Api) -> AsyncTransport:
    address = f"{api.url}/graphql"
    match request.param:
        case "http":
            return AIOHTTPTransport(address, headers=as_admin())
        case "websocket by headers":
            return WebsocketsTransport(address.replace("http", "ws", 1), headers=as_admin())
        case _:
            return WebsocketsTransport(address.replace("http", "ws", 1), init_payload=as_admin())


def task_input(fake: FakeDiscord, **fields: object) -> dict[str, object]:
    return {
        "name": "raid",
        "schedule": "0 0 1 1 *",
        "webhookUrl": fake.url(),
        "payload": {"content": "hello"},
        **fields,
    }


def request_of(document: str, **variables: object) -> GraphQLRequest:
    return GraphQLRequest(document, variable_values=variables)


async def poll(session: AsyncClientSession) -> list[dict[str, Any]]:
    """Poll the feed until it has an entry."""
    entries: list[dict[str, Any]] = []
    cursor = None

    async def has_entry() -> bool:
        nonlocal cursor
        page = (await session.execute(request_of(FEED, after=cursor)))["logFeed"]
        entries.extend(page["entries"])
        cursor = page["cursor"]
        return bool(entries)

    await wait_until(has_entry, what="entry of the feed")
    return entries


async def test_create_list_fail_and_poll(
    transport: AsyncTransport, fake_discord: FakeDiscord
) -> None:
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        created = await session.execute(request_of(CREATE, input=task_input(fake_discord)))
        listed = await session.execute(request_of(LIST))
        with pytest.raises(TransportQueryError) as failed:
            await session.execute(request_of(CREATE, input=task_input(fake_discord, schedule="x")))
        log = await session.execute(request_of(TRIGGER, id=created["createTask"]["id"]))
        entries = await poll(session)

    assert listed["tasks"] == {"data": [created["createTask"]], "meta": {"total": 1}}
    [error] = failed.value.errors or []
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    paths = [field["path"] for field in error["extensions"]["fieldErrors"]]
    assert paths == [["input", "schedule"]]
    assert entries == [{"id": log["triggerTask"]["id"], "status": "SUCCESS"}]


async def test_subscribe(api: Api, engine: Engine, fake_discord: FakeDiscord) -> None:
    created = await api.run(CREATE, input=task_input(fake_discord))
    task_id = created["createTask"]["id"]
    address = f"{api.url}/graphql".replace("http", "ws", 1)

    async with Client(transport=WebsocketsTransport(address, init_payload=as_admin())) as session:
        following = session.subscribe(request_of(LIVE, id=task_id))
        first = asyncio.ensure_future(anext(following))
        await wait_until(lambda: engine.live_feed.listener_count == 1, what="listener")
        stored = (await api.run(TRIGGER, id=task_id))["triggerTask"]["id"]
        told = (await first)["taskLogs"]
        await following.aclose()
        await wait_until(lambda: engine.live_feed.listener_count == 0, what="end of listening")

    assert told == {"id": stored, "status": "SUCCESS", "task": {"name": "raid"}}


async def test_wrong_key(api: Api) -> None:
    wrong = {"X-API-Key": "wrong"}
    address = f"{api.url}/graphql"

    with pytest.raises(TransportQueryError, match="UNAUTHENTICATED"):
        await Client(transport=AIOHTTPTransport(address, headers=wrong)).execute_async(gql(LIST))
    with pytest.raises(TransportConnectionFailed) as refused:
        await Client(
            transport=WebsocketsTransport(address.replace("http", "ws", 1), init_payload=wrong)
        ).execute_async(gql(LIST))
    assert isinstance(refused.value.__cause__, ConnectionClosed)
    assert refused.value.__cause__.rcvd is not None
    assert refused.value.__cause__.rcvd.code == 4403
