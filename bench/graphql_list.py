"""A list of 50 tasks, ten fields each, asked for over HTTP as often as it goes.

The real program, with its limits and all, against the same schema on Strawberry's default settings.
"""

import asyncio
import statistics
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields

import orjson
from cryptography.fernet import Fernet

from bench.burst import insert_tasks
from bench.databases import fresh_database
from bench.list_client import CONNECTIONS, KEY, ask
from bench.list_layers import Layers, measure_layers
from bench.stock import ORIGIN
from engine.cipher import WebhookCipher
from models.embedded import EmbeddedPostgres
from tests.acceptance.running import running

TASKS = 200
SECONDS = 3.0
FIELDS = {
    "stored": "id name schedule timezone status webhookUrl maxRetry payload createdAt updatedAt",
    "two computed": "id name schedule scheduleDescription timezone status webhookUrl nextRunAt "
    "createdAt updatedAt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFigures:
    """Requests per second of both, by kind of fields and run, and the CPU time of the layers."""

    ours: Mapping[str, list[float]]
    stock: Mapping[str, list[float]]
    layers: Mapping[str, Layers]


def list_query(names: str) -> str:
    """Return the query for a page of 50 tasks."""
    return f"{{ tasks(limit: 50) {{ data {{ {names} }} }} }}"


async def measure_list(server: EmbeddedPostgres, runs: int) -> ListFigures:
    """Measure both in turn; their answers must be the same to the byte."""
    key = Fernet.generate_key().decode()
    async with fresh_database(server, "list") as database:
        await insert_tasks(
            database, WebhookCipher([key]), ORIGIN, TASKS, schedule="0 9 1 1 *", zone="Europe/Paris"
        )
        url = server.url("list")
        async with _ours(url, key) as ours, _stock(url) as stock:
            figures = await _in_turn({"ours": ours, "stock": stock}, runs)
        query = list_query(FIELDS["stored"])
        layers = {
            "ours": await measure_layers(database, query, is_stock=False),
            "stock": await measure_layers(database, query, is_stock=True),
        }
    return ListFigures(ours=figures["ours"], stock=figures["stock"], layers=layers)


async def _in_turn(urls: Mapping[str, str], runs: int) -> dict[str, dict[str, list[float]]]:
    figures: dict[str, dict[str, list[float]]] = {
        who: {kind: [] for kind in FIELDS} for who in urls
    }
    for kind, names in FIELDS.items():
        for _ in range(runs):
            answers = set()
            for who, url in urls.items():
                measured = await ask(url, list_query(names), SECONDS)
                figures[who][kind].append(measured["per_second"])
                answers.add(orjson.dumps(measured["answer"]))
            assert len(answers) == 1, answers
    return figures


@asynccontextmanager
async def _ours(database_url: str, encryption_key: str) -> AsyncIterator[str]:
    """Run the program with everything on; the limit is out of reach, but counts each request."""
    settings = {
        "API_KEY": KEY,
        "DATABASE_URL": database_url,
        "ENCRYPTION_KEYS": encryption_key,
        "RATE_LIMIT": "1000000/second",
        "ROLES": "api",
    }
    async with running(settings) as service:
        yield service.url


@asynccontextmanager
async def _stock(database_url: str) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.stock", database_url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


def list_section(figures: ListFigures) -> str:
    """Return the section for the page of figures."""
    runs = len(figures.ours["stored"])
    rows = "\n".join(
        f"| {kind} | {_median(figures.ours[kind]):.0f} | {_median(figures.stock[kind]):.0f} "
        f"| {_median(figures.ours[kind]) / _median(figures.stock[kind]):.2f} |"
        for kind in FIELDS
    )
    ours, stock = figures.layers["ours"], figures.layers["stock"]
    layers = "\n".join(
        f"| {layer.name} | {getattr(ours, layer.name):.2f} "
        f"| {getattr(ours, layer.name) / ours.total:.0%} | {getattr(stock, layer.name):.2f} "
        f"| {getattr(stock, layer.name) / stock.total:.0%} |"
        for layer in fields(Layers)
    )
    return f"""## List: 50 tasks with ten fields each, over GraphQL

Requests per second of one process, asked over {CONNECTIONS} connections: the real program with its
limits, masking, key guard and log lines on, and the same schema, resolvers and database on
Strawberry's default settings, whose answers are the same to the byte. Medians of {runs} runs of
{SECONDS:.0f} s in turn.

| fields | this service | default settings | ratio |
|---|---|---|---|
{rows}

Where the process's CPU time goes, for stored fields, in ms per request:

| layer | this service | share | default settings | share |
|---|---|---|---|---|
{layers}
| total | {ours.total:.2f} | | {stock.total:.2f} | |

"server" is uvicorn and the sockets, "app" is routing, middleware, key, headers and the log line,
"documents" is parsing and validation, "execution" all of the operation but its documents and its
database.
"""


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values))
