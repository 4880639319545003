"""On time: how long after its tick each request comes, for few and many ticks, and in a burst."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet

from bench.plots import Curve, plot
from bench.scenario import Bench, quantile, table, tell
from bench.service import running
from bench.sink import Arrival, received, sink
from bench.tasks import Plan, every, insert_tasks
from engine.cipher import WebhookCipher
from models.database import Database

# So that nobody counts the first ticks after the start.
SETTLE_SECONDS = 3.0
# An arrival belongs to its webhook's tick before it, by clocks that may differ by so much.
CLOCK_SECONDS = 0.1
# Requests of the last ticks have come by then.
REST_SECONDS = 5.0
OTHERS_EACH_SECOND = 20
# So long a burst may take.
BURST_SECONDS = 120
POINTS = 200

_LOGGED = """
select lateness_ms from task_logs
where retry_count = 0 and scheduled_for >= to_timestamp($1) and scheduled_for < to_timestamp($2)
    and lateness_ms is not null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """Ms from ticks to requests, as the sink saw them; `logged` is lateness_ms of the log.

    `curve` is the lateness at each of POINTS shares.
    """

    each_second: int
    seconds: int
    requests: int
    ticks: int
    p50: float
    p99: float
    most: float
    logged_p50: float
    logged_p99: float
    curve: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One run with a burst: the latest of the others' ticks, in ms, in its second and the next."""

    burst_last_ms: float
    same_second_p50: float
    same_second_most: float
    next_second_p50: float
    next_second_most: float


async def lateness(bench: Bench) -> None:
    """Measure 20 and 1,000 ticks each second, and others beside a burst."""
    figures: list[Lateness] = []
    for each, period, seconds in ((20, 60, 300), (1_000, 10, 60)):
        figures.append(await _measure(bench, each, period, bench.size(seconds, 10)))
        tell(f"lateness of {each} each second: {figures[-1].p50:.0f}, {figures[-1].p99:.0f} ms")
    bursts = []
    for number in range(bench.size(3, 1)):
        bursts.append(await _beside(bench, bench.size(10_000, 500)))
        tell(f"lateness beside a burst, {number + 1}: {bursts[-1]}")
    curves = [
        Curve(
            label=f"{one.each_second:,} each second",
            x=one.curve,
            y=[100 * (n + 1) / POINTS for n in range(POINTS)],
        )
        for one in figures
    ]
    plot(
        bench,
        "lateness.png",
        title="Request sent after its tick",
        x="ms after the tick",
        y="% of requests",
        curves=curves,
        log_x=True,
    )
    bench.write("lateness", {"each": figures, "burst": bursts}, section(bench, figures, bursts))


async def _measure(bench: Bench, each: int, period: int, seconds: int) -> Lateness:
    """Let `each` tasks tick in each second of `period`, and look at so many seconds."""
    key = Fernet.generate_key().decode()
    plans = [
        Plan(schedule=every(period, n % period), overlap="ALLOW") for n in range(each * period)
    ]
    async with sink() as origin, bench.server.migrated("lateness") as (name, database):
        await insert_tasks(database, WebhookCipher([key]), origin, plans)
        async with running(bench.server.url(name), origin, key):
            since = int(time.time() + SETTLE_SECONDS) + 1
            await asyncio.sleep(since + seconds + REST_SECONDS - time.time())
            logged = await _logged(database, since, since + seconds)
        arrivals = await received(origin)
    late = _late(arrivals, period, since, since + seconds)
    return Lateness(
        each_second=each,
        seconds=seconds,
        requests=len(late),
        ticks=each * seconds,
        p50=quantile(late, 0.5),
        p99=quantile(late, 0.99),
        most=max(late),
        logged_p50=quantile(logged, 0.5),
        logged_p99=quantile(logged, 0.99),
        curve=[quantile(late, (n + 1) / POINTS) for n in range(POINTS)],
    )


def _late(arrivals: Sequence[Arrival], period: int, since: int, until: int) -> list[float]:
    """Return by how many ms the ticks of this time were late."""
    late = []
    for arrival in arrivals:
        tick = last_tick(arrival.at, period, arrival.number % period)
        if since <= tick < until:
            late.append((arrival.at - tick) * 1000)
    return late


def last_tick(at: float, period: int, offset: int) -> int:
    """Return the newest tick at or before an instant; one that comes at once counts as come."""
    now = int(at + CLOCK_SECONDS)
    return now - (now - offset) % period


async def _logged(database: Database, since: float, until: float) -> list[float]:
    async with database.connection() as connection:
        rows = await connection.fetch(_LOGGED, since, until)
    return [row["lateness_ms"] for row in rows]


async def _beside(bench: Bench, tasks: int) -> Beside:
    """Let a burst and 20 other ticks be due in one second, and 20 in each of the others."""
    key, others = Fernet.generate_key().decode(), OTHERS_EACH_SECOND * 60
    tick = int(time.time() + 8 + tasks / 2_000)
    due = time.strftime("%S %M * * * *", time.gmtime(tick))
    plans = [Plan(schedule=every(60, n % 60)) for n in range(others)]
    plans += [Plan(schedule=due)] * tasks
    async with sink() as origin, bench.server.migrated("beside") as (name, database):
        await insert_tasks(database, WebhookCipher([key]), origin, plans)
        async with running(bench.server.url(name), origin, key):
            if time.time() > tick - 1:
                raise RuntimeError(f"the service was not ready in time for {tasks} tasks")
            await asyncio.sleep(tick + REST_SECONDS - time.time())
            arrivals = await _all_of_burst(origin, others, tasks)
    burst = [(one.at - tick) * 1000 for one in arrivals if one.number >= others]
    rest = [one for one in arrivals if one.number < others]
    same, following = (_late(rest, 60, tick + n, tick + n + 1) for n in (0, 1))
    return Beside(
        burst_last_ms=max(burst),
        same_second_p50=quantile(same, 0.5),
        same_second_most=max(same),
        next_second_p50=quantile(following, 0.5),
        next_second_most=max(following),
    )


async def _all_of_burst(origin: str, others: int, tasks: int) -> list[Arrival]:
    """Return what has come once all of the burst has; ask seldom, since asking costs."""
    until = time.monotonic() + BURST_SECONDS
    while True:
        arrivals = await received(origin)
        came = sum(one.number >= others for one in arrivals)
        if came >= tasks or time.monotonic() > until:
            return arrivals
        await asyncio.sleep(1)


def section(bench: Bench, figures: Sequence[Lateness], bursts: Sequence[Beside]) -> str:
    """Return the section for the page."""
    rows = [
        [
            f"{one.each_second:,}",
            one.seconds,
            f"{one.requests:,} of {one.ticks:,}",
            f"{one.p50:.0f}",
            f"{one.p99:.0f}",
            f"{one.most:.0f}",
            f"{one.logged_p50:.0f}",
            f"{one.logged_p99:.0f}",
        ]
        for one in figures
    ]
    head = ["due each second", "for s", "requests", "p50, ms", "p99, ms", "latest, ms"]
    head += ["p50 by the log", "p99 by the log"]
    beside = [
        [
            number,
            f"{one.burst_last_ms:.0f}",
            f"{one.same_second_p50:.0f}",
            f"{one.same_second_most:.0f}",
            f"{one.next_second_p50:.0f}",
            f"{one.next_second_most:.0f}",
        ]
        for number, one in enumerate(bursts, start=1)
    ]
    beside_head = ["run", "the burst's last, ms", "same second, p50", "same second, latest"]
    beside_head += ["next second, p50", "next second, latest"]
    size = bench.size(10_000, 500)
    return f"""## Lateness: from a tick to its request's arrival

Each webhook ticks once a minute (20 each second) or every ten seconds (1,000 each second). By the
log is `lateness_ms`, which ends when the request is handed to the connection.

{table(head, rows)}

![The share of requests that came within so many milliseconds](lateness.png)

Beside a burst of {size:,} tasks in one second, on webhooks of their own, {OTHERS_EACH_SECOND} other
ticks are due in each second; how late they come, in ms:

{table(beside_head, beside)}
"""
