"""Where the CPU time of a list goes: each layer is run alone, and taken from the one around it."""

import json
import resource
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass

import orjson
from cryptography.fernet import Fernet
from graphql import parse, specified_rules, validate
from starlette.types import ASGIApp, Message, Scope

from bench.list_client import KEY, ask
from bench.stock import make_context, make_services, stock_app, stock_schema
from engine.cipher import WebhookCipher
from models.database import Database
from schema.core import core_schema
from schema.extensions import Documents
from schema.records import Records, Span, TaskFilter
from schema.schema import build_schema
from tests.serving import make_app, serving

# The machine's speed changes within a run, and layers are differences: of each the least counts.
ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """CPU time of each layer, in ms per request."""

    server: float
    app: float
    documents: float
    execution: float
    database: float
    json: float

    @property
    def total(self) -> float:
        """The CPU time of a request."""
        return float(sum(astuple(self)))


async def measure_layers(
    database: Database, query: str, *, is_stock: bool, times: int, seconds: float
) -> Layers:
    """Measure the layers of this service, or of Strawberry's default settings.

    Each layer is run so many times; the whole is asked over HTTP for so long.
    """
    schema = stock_schema() if is_stock else build_schema()
    cipher = WebhookCipher([Fernet.generate_key().decode()])
    app: ASGIApp = (
        stock_app(database) if is_stock else make_app(database, cipher, RATE_LIMIT="1000000/second")
    )
    services, core = make_services(database), core_schema(schema)
    documents = Documents(specified_rules, hide_suggestions=False)

    async def execute() -> object:
        return (await schema.execute(query, context_value=make_context(services))).data

    async def read_documents() -> object:
        return validate(core, parse(query)) if is_stock else documents.read(core, query)

    async def read_database() -> object:
        return await Records(database).tasks(TaskFilter(), Span(limit=50, offset=0))

    data = {"data": await execute()}

    async def encode() -> object:
        return json.dumps(data, separators=(",", ":")) if is_stock else orjson.dumps(data)

    async def call() -> None:
        await _call(app, query)

    steps = (call, execute, read_documents, read_database, encode)
    rounds = [
        [await _served_ms(app, query, seconds), *[await _ms(step, times) for step in steps]]
        for _ in range(ROUNDS)
    ]
    served, called, executed, read, rows, encoded = (
        min(each) for each in zip(*rounds, strict=True)
    )
    return Layers(
        server=served - called,
        app=called - executed - encoded,
        documents=read,
        execution=executed - read - rows,
        database=rows,
        json=encoded,
    )


def cpu_seconds() -> float:
    """Return the CPU time of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _ms(step: Callable[[], Awaitable[object]], times: int) -> float:
    """Return the CPU time of a step, in ms; the first runs don't count."""
    for _ in range(times // 10):
        await step()
    before = cpu_seconds()
    for _ in range(times):
        await step()
    return (cpu_seconds() - before) / times * 1000


async def _served_ms(app: ASGIApp, query: str, seconds: float) -> float:
    """Return the CPU time of a request over HTTP, with the client in another process."""
    async with serving(app) as api:
        await ask(api.url, query, seconds / 3)
        before = cpu_seconds()
        measured = await ask(api.url, query, seconds)
    return float((cpu_seconds() - before) / measured["requests"] * 1000)


async def _call(app: ASGIApp, query: str) -> None:
    """Call the application as a server does, with everything but the server."""
    body = orjson.dumps({"query": query})
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"x-api-key", KEY.encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    await app(scope, receive, send)
    assert statuses[0] == 200
