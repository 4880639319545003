"""A list of 50 tasks, ten fields each, asked for over HTTP as often as it goes.

The real program, with its limits and all, against the same schema on Strawberry's default settings,
and the same query on Apollo Server with an ORM. Each is one process.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any

import orjson
from cryptography.fernet import Fernet

from bench.installed import NODE, why_no_node
from bench.list_client import CONNECTIONS, ask
from bench.list_layers import ROUNDS, Layers, measure_layers
from bench.processes import child, cpu_seconds
from bench.scenario import Bench, median, table, tell
from bench.service import ready, starting
from bench.stock import ORIGIN
from bench.tasks import NEVER_SOON, Plan, insert_tasks
from engine.cipher import WebhookCipher

TASKS = 200
SECONDS = 3.0
LAYER_TIMES = 300
STORED = "stored"
FIELDS = {
    STORED: "id name schedule timezone status webhookUrl maxRetry payload createdAt updatedAt",
    "two computed": "id name schedule scheduleDescription timezone status webhookUrl nextRunAt "
    "createdAt updatedAt",
}
OURS, STOCK, APOLLO = (
    "this service",
    "Strawberry's default settings",
    "Apollo Server 5, drizzle-orm",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One run: requests per second, and CPU ms of the process for each."""

    per_second: float
    cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server that runs: its address, its process, and the kinds of fields that it has."""

    url: str
    pid: int
    kinds: tuple[str, ...] = tuple(FIELDS)


Figures = Mapping[str, Mapping[str, list[Asked]]]


def list_query(names: str) -> str:
    """Return the query for a page of 50 tasks."""
    return f"{{ tasks(limit: 50) {{ data {{ {names} }} }} }}"


async def graphql_list(bench: Bench) -> None:
    """Measure everybody in turn; the answers of both Strawberries must be the same to the byte."""
    key, absent = Fernet.generate_key().decode(), await asyncio.to_thread(why_no_node)
    server, seconds = bench.server, bench.size(30, 5) / 10
    plan = Plan(schedule=NEVER_SOON, zone="Europe/Paris")
    async with server.migrated("list") as (name, database):
        await insert_tasks(database, WebhookCipher([key]), ORIGIN, [plan] * TASKS)
        async with AsyncExitStack() as stack:
            peers = {
                OURS: await stack.enter_async_context(_ours(server.url(name), key)),
                STOCK: await stack.enter_async_context(_stock(server.url(name))),
            }
            if not absent:
                apollo = _apollo(server.environment(name))
                peers[APOLLO] = await stack.enter_async_context(apollo)
            figures = await _in_turn(peers, bench.size(bench.runs, 1), seconds)
        layers = {
            who: await measure_layers(
                database,
                list_query(FIELDS[STORED]),
                is_stock=who == STOCK,
                times=bench.size(LAYER_TIMES, 20),
                seconds=seconds,
            )
            for who in (OURS, STOCK)
        }
    given = {"figures": figures, "layers": layers}
    bench.write("graphql-list", given, section(figures, layers, seconds, absent))


async def _in_turn(
    peers: Mapping[str, Peer], runs: int, seconds: float
) -> dict[str, dict[str, list[Asked]]]:
    figures: dict[str, dict[str, list[Asked]]] = {
        kind: {who: [] for who, peer in peers.items() if kind in peer.kinds} for kind in FIELDS
    }
    for kind, names in FIELDS.items():
        for _ in range(runs):
            answers = {}
            for who, measured in figures[kind].items():
                peer = peers[who]
                before = cpu_seconds(peer.pid)
                answer = await ask(peer.url, list_query(names), seconds)
                spent = cpu_seconds(peer.pid) - before
                cpu_ms = spent / answer["requests"] * 1000
                measured.append(Asked(per_second=answer["per_second"], cpu_ms=cpu_ms))
                answers[who] = answer["answer"]
            _check(answers)
        tell(f"list {kind}: { ({who: runs[-1] for who, runs in figures[kind].items()}) }")
    return figures


def _check(answers: Mapping[str, Any]) -> None:
    """Raise AssertionError, if the answers differ: to the byte, or Apollo's but for the times."""
    wrong = [answer["errors"] for answer in answers.values() if "errors" in answer]
    assert not wrong, wrong
    assert orjson.dumps(answers[OURS]) == orjson.dumps(answers[STOCK]), answers
    if APOLLO in answers:
        ours, theirs = (_without_times(answers[who]) for who in (OURS, APOLLO))
        assert ours == theirs, (ours[0], theirs[0])


def _without_times(answer: Any) -> list[dict[str, object]]:  # noqa: ANN401 - JSON
    tasks = answer["data"]["tasks"]["data"]
    return [{k: v for k, v in task.items() if not k.endswith("At")} for task in tasks]


@asynccontextmanager
async def _ours(database_url: str, key: str) -> AsyncIterator[Peer]:
    async with starting(database_url, ORIGIN, key, roles="api") as service:
        await ready(service)
        yield Peer(url=service.url, pid=service.pid)


@asynccontextmanager
async def _stock(database_url: str) -> AsyncIterator[Peer]:
    command = [sys.executable, "-m", "bench.stock", database_url]
    async with child(command, says="http") as (process, url):
        yield Peer(url=url, pid=process.pid)


@asynccontextmanager
async def _apollo(environment: Mapping[str, str]) -> AsyncIterator[Peer]:
    """Run Apollo Server as in production, which is by NODE_ENV."""
    env = {**environment, "NODE_ENV": "production"}
    async with child(["node", "apollo.mjs"], env=env, folder=NODE, says="http") as (process, url):
        yield Peer(url=url, pid=process.pid, kinds=(STORED,))


def section(figures: Figures, layers: Mapping[str, Layers], seconds: float, absent: str) -> str:
    """Return the section for the page; `absent` says why Apollo Server is."""
    left_out = f"\nApollo Server is left out: {absent}.\n" if absent else ""
    rows = []
    for kind, of_kind in figures.items():
        ours = median(run.per_second for run in of_kind[OURS])
        for who, runs in of_kind.items():
            per_second = median(run.per_second for run in runs)
            cpu_ms = f"{median(run.cpu_ms for run in runs):.2f}"
            ratio = f"{ours / per_second:.2f}" if who != OURS else ""
            rows.append([kind, who, f"{per_second:.0f}", cpu_ms, ratio])
    head = ["fields", "", "requests/s", "CPU per request, ms", "this service is faster by"]
    ours_of, stock_of = layers[OURS], layers[STOCK]
    parts = [
        [
            layer.name,
            f"{getattr(ours_of, layer.name):.2f}",
            f"{getattr(ours_of, layer.name) / ours_of.total:.0%}",
            f"{getattr(stock_of, layer.name):.2f}",
            f"{getattr(stock_of, layer.name) / stock_of.total:.0%}",
        ]
        for layer in fields(Layers)
    ]
    parts.append(["total", f"{ours_of.total:.2f}", "", f"{stock_of.total:.2f}", ""])
    runs_each = len(figures[STORED][OURS])
    return f"""## List: 50 tasks with ten fields each, over GraphQL

Requests per second of one process, asked over {CONNECTIONS} connections: the real program with its
limits, masking, key guard and log lines on; the same schema, resolvers and database on
Strawberry's default settings, whose answers are the same to the byte; and the same query and table
on Apollo Server's standalone server, without key, limits or log lines. Medians of {runs_each} runs
of {seconds:g} s in turn.

{table(head, rows)}
{left_out}
Where the process's CPU time goes, for stored fields, in ms per request, the least of {ROUNDS}
rounds:

{table(["layer", "this service", "share", "default settings", "share"], parts)}

"server" is uvicorn and the sockets, "app" is routing, middleware, key, headers and the log line,
"documents" is parsing and validation, "execution" all of the operation but its documents and its
database.
"""
