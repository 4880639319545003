"""The API over real HTTP, on a port of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from engine.cipher import WebhookCipher
from engine.engine import Engine, EngineOptions
from engine.statistics import Statistics
from models.database import Database
from schema.context import Services
from schema.keys import KeyRing
from schema.schema import build_schema
from setting_types import ApiKey, KeyRole
from settings import load_settings
from tests.conftest import NO_BUDGET, accounting, make_service
from web.app import create_app
from web.connections import BoundedHttp, BoundedSocket
from web.graphql_socket import GraphQLSocket
from web.rate_limits import ClientLimits
from web.server import PING_SECONDS, http_server

ADMIN = ApiKey(name="default", key=SecretStr("the-admin-key"), role=KeyRole.ADMIN)
READER = ApiKey(name="reader", key=SecretStr("the-reading-key"), role=KeyRole.READ)
UNLIMITED = {"RATE_LIMIT": "1000000/minute", "FAILED_KEY_LIMIT": "1000000/minute"}


def as_admin() -> dict[str, str]:
    """Return the headers of somebody who may do everything."""
    return {"X-API-Key": ADMIN.key.get_secret_value()}


def as_reader() -> dict[str, str]:
    """Return the headers of somebody who may only read."""
    return {"X-API-Key": READER.key.get_secret_value()}


def idle_engine(database: Database, cipher: WebhookCipher) -> Engine:
    """Return an engine that is not started."""
    options = EngineOptions(
        roles=frozenset({"scheduler"}),
        origins=(),
        budget=NO_BUDGET,
        worker_concurrency=1,
        accounting=accounting(),
        log_retention_days=30,
        shutdown_seconds=1.0,
    )
    return Engine(database, cipher, options)


def make_app(
    database: Database,
    cipher: WebhookCipher,
    *,
    origin: str = "http://127.0.0.1",
    engine: Engine | None = None,
    limits: ClientLimits | None = None,
    **env: str,
) -> Starlette:
    """Return the application with two keys; `env` are settings by their variables.

    Without limits in `env` there are as good as none.
    """
    settings = load_settings({**UNLIMITED, **env}, None)
    running = engine or idle_engine(database, cipher)
    return create_app(
        settings,
        keys=KeyRing([READER, ADMIN]),
        database=database,
        tasks=make_service(cipher, origin, engine),
        engine=running,
        statistics=Statistics(database, running.cache),
        limits=limits or ClientLimits.of(settings),
    )


def socket_app(database: Database, cipher: WebhookCipher, **options: object) -> Starlette:
    """Return an application of nothing but the socket, with these options."""
    services = Services(
        database=database,
        tasks=make_service(cipher, "http://127.0.0.1"),
        engine=idle_engine(database, cipher),
        statistics=Statistics(database),
    )
    keys = KeyRing([READER, ADMIN])
    limits = ClientLimits.of(load_settings({}, None))
    view = GraphQLSocket(build_schema(), keys=keys, limits=limits, services=services, **options)  # type: ignore[arg-type] # each test gives what it is about
    return Starlette(routes=[WebSocketRoute("/graphql", view)])


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of this machine that nobody listens on, nor can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@asynccontextmanager
async def absent_database() -> AsyncIterator[Database]:
    """Yield a database whose server is not there: for what must work without, and fast."""
    with closed_port() as port:
        database = await Database.connect(f"postgresql://nobody:secret@127.0.0.1:{port}/gone")
        try:
            yield database
        finally:
            await database.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, read to its end; `json` is None when it is something else."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Any

    @property
    def codes(self) -> list[str]:
        """Return the codes of the errors."""
        return [error["extensions"]["code"] for error in self.json.get("errors", ())]


class Api:
    """A client that comes as the admin, unless it is given other headers."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> Answer:
        """Send a request; `body` is what aiohttp takes as `data` or `json`."""
        given = as_admin() if headers is None else headers
        request = self._session.request(
            method, f"{self.url}{path}", headers=given, allow_redirects=False, **body
        )
        async with request as response:
            return Answer(
                status=response.status,
                headers=response.headers,
                text=await response.text(),
                json=await response.json() if "json" in response.content_type else None,
            )

    async def post(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        operation: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send an operation; `headers` come on top of the admin's."""
        body = {"query": query, "variables": variables, "operationName": operation}
        return await self.send(
            "POST", "/graphql", headers={**as_admin(), **(headers or {})}, json=body
        )

    async def run(self, query: str, **variables: object) -> Any:
        """Return an operation's data; it must not have errors."""
        answer = await self.post(query, variables)
        assert "errors" not in answer.json, answer.text
        return answer.json["data"]

    async def fail(self, query: str, **variables: object) -> Any:
        """Return the one error of an operation."""
        answer = await self.post(query, variables)
        (error,) = answer.json["errors"]
        return error


@asynccontextmanager
async def serving(
    app: ASGIApp,
    *,
    root_path: str = "",
    max_message_bytes: int = 1_048_576,
    ping_seconds: float = PING_SECONDS,
    http: type[BoundedHttp] = BoundedHttp,
    ws: type[BoundedSocket] = BoundedSocket,
) -> AsyncIterator[Api]:
    """Serve the application on a free port of 127.0.0.1, as `main` does."""
    server = http_server(
        app,
        root_path=root_path,
        max_message_bytes=max_message_bytes,
        ping_seconds=ping_seconds,
        http=http,
        ws=ws,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with aiohttp.ClientSession() as session:
                yield Api(session, url)
        finally:
            server.should_exit = True
            await task
