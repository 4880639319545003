"""One run: break things for a while, let it settle, check the invariants, say what happened."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.chaos.cluster import Cluster, cluster
from tests.chaos.faults import Fault, break_things
from tests.chaos.invariants import (
    check_acknowledged,
    check_outputs,
    check_rows,
    count_requests,
    count_ticks,
)
from tests.chaos.mutations import Users
from tests.chaos.observer import observe, settled_at

COPIES = 3
TASKS = 40
SETTLE_POLLS = 240
POLL_SECONDS = 0.25
PAUSE_SECONDS = (2.0, 6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run showed; `breaches` are sentences with their evidence, none if all holds."""

    seed: int
    figures: dict[str, object]
    breaches: list[str]
    outputs: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """The figures and the breaches, for a person."""
        lines = [f"  {name:<34} {value}" for name, value in self.figures.items()]
        found = [f"  BROKEN {breach}" for breach in self.breaches] or ["  every invariant holds"]
        return "\n".join([f"seed {self.seed}", *lines, *found])


async def run(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    pause_seconds: tuple[float, float] = PAUSE_SECONDS,
) -> Result:
    """Break the parts for so long, with such pauses between the faults, and check.

    `folder` is empty and takes the database.
    """
    chance = random.Random(seed)
    async with cluster(folder, copies=COPIES) as parts:
        users = Users(parts, random.Random(chance.random()), tasks=TASKS)
        await users.create_all()
        acting = asyncio.create_task(users.go_on())
        try:
            note = partial(_note, time.monotonic())
            await break_things(
                parts, seconds=seconds, pause_seconds=pause_seconds, chance=chance, note=note
            )
        finally:
            acting.cancel()
            (ended,) = await asyncio.gather(acting, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
        until = await _settle(parts)
        await parts.terminate_all()
        return await _check(parts, users, seed, until)


async def _settle(parts: Cluster) -> datetime:
    """Wait until all is sent and recorded; return when, by the database's clock, that was so."""
    for _ in range(SETTLE_POLLS):
        if (until := await settled_at(parts.url)) is not None:
            return until
        await asyncio.sleep(POLL_SECONDS)
    # What hangs is among the rows, and will be found there.
    return datetime.now(UTC)


async def _check(parts: Cluster, users: Users, seed: int, until: datetime) -> Result:
    observed = await observe(parts.url, until=until)
    ticks = count_ticks(observed)
    requests = count_requests(
        observed, parts.fake.requests, excused=parts.killed | parts.stopped_long
    )
    statuses = Counter(row["status"] for row in observed.attempts)
    late = [row["lateness_ms"] for row in observed.attempts if row["lateness_ms"] is not None]
    limited = [f"{parts.fake.limited} answers were 429"] if parts.fake.limited else []
    return Result(
        seed=seed,
        figures={
            "ticks": len(ticks.required),
            "ticks lost": len(ticks.lost),
            "ticks stored twice": len(ticks.doubled),
            "ticks cut off by a change": len(ticks.cut),
            "ticks in skipped ranges": sum(row["skipped_count"] or 0 for row in observed.attempts),
            **{f"attempts {status}": number for status, number in sorted(statuses.items())},
            "worst lateness, s": round(max(late, default=0.0) / 1000, 2),
            "requests": requests.requests,
            "requests repeated": requests.repeated,
            "attempts taken over": requests.taken_over,
            "slowest takeover, s": round(requests.slowest_takeover_seconds, 2),
            "attempts given up as UNKNOWN": requests.given_up,
            "answers 429": parts.fake.limited,
            **dict(_counts(parts)),
            **{f"mutations {answer}": count for answer, count in users.answers.items()},
        },
        breaches=[
            *parts.unclean,
            *ticks.breaches,
            *check_rows(observed),
            *requests.breaches,
            *check_acknowledged(observed, created=users.created, triggered=users.triggered),
            *limited,
            *check_outputs(parts.outputs),
        ],
        outputs=parts.outputs,
    )


def _counts(parts: Cluster) -> Iterator[tuple[str, int]]:
    yield from ((fault.value, parts.counts[fault]) for fault in Fault)
    for name in ("connections cut", "starts", "starts refused"):
        yield name, parts.counts[name]


def _note(began: float, text: str) -> None:
    sys.stdout.write(f"{time.monotonic() - began:7.1f} s  {text}\n")
    sys.stdout.flush()
