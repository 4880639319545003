"""The faults: one every few seconds, in a seeded order, never the last running copy."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import assert_never

from tests.chaos.cluster import Cluster, Copy

# The burst of a tick on which most tasks fire is sent within this, at the global rate.
TICK_SECONDS = 5.0
BURST_SECONDS = 1.2
FREEZE_SECONDS = (1.0, 9.0)
DOWN_SECONDS = (0.5, 3.0)

Note = Callable[[str], None]


class Fault(StrEnum):
    """What may happen."""

    KILL = "kills"
    TERMINATE = "terminations"
    FREEZE = "stops"
    RESTART_FAST = "database restarts, fast"
    RESTART_IMMEDIATE = "database restarts, immediate"
    CUT = "times all connections were cut"


OF_COPIES = (Fault.KILL, Fault.TERMINATE, Fault.FREEZE)
OF_DATABASE = (Fault.RESTART_FAST, Fault.RESTART_IMMEDIATE, Fault.CUT)
# Each round is shuffled, so that no kind stays away for long.
ROUND = (Fault.KILL, *OF_COPIES, Fault.FREEZE, *OF_DATABASE)


async def break_things(
    parts: Cluster,
    *,
    seconds: float,
    pause_seconds: tuple[float, float],
    chance: random.Random,
    note: Note,
) -> None:
    """Cause faults for so long; return when all that was broken runs again.

    Half of them come while the tick on which most tasks fire is stored and sent.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    deck: list[Fault] = []
    async with asyncio.TaskGroup() as group:
        while (pause := _next_pause(pause_seconds, chance)) < deadline - loop.time():
            await asyncio.sleep(pause)
            deck = deck or chance.sample(ROUND, len(ROUND))
            if (fault := _possible(parts, deck)) is not None:
                deck.remove(fault)
                group.create_task(_cause(parts, fault, chance, note))
                await asyncio.sleep(0)


def _next_pause(pause_seconds: tuple[float, float], chance: random.Random) -> float:
    shortest, longest = pause_seconds
    if chance.random() < 0.5:
        return chance.uniform(shortest, longest)
    to_tick = -(time.time() + shortest) % TICK_SECONDS
    return shortest + to_tick + chance.uniform(0.0, BURST_SECONDS)


def _possible(parts: Cluster, deck: list[Fault]) -> Fault | None:
    """Return the first fault of the deck that may happen now."""
    for fault in deck:
        if fault in OF_COPIES and len(parts.idle) > 1:
            return fault
        if fault in OF_DATABASE and not parts.is_database_busy:
            return fault
    return None


async def _cause(parts: Cluster, fault: Fault, chance: random.Random, note: Note) -> None:
    parts.counts[fault] += 1
    match fault:
        case Fault.KILL | Fault.TERMINATE | Fault.FREEZE:
            async with _at_work_on(chance.choice(parts.idle)) as copy:
                await _break_copy(parts, copy, fault, chance, note)
        case Fault.RESTART_FAST | Fault.RESTART_IMMEDIATE | Fault.CUT:
            note(fault)
            parts.is_database_busy = True
            try:
                await _break_database(parts, fault)
            finally:
                parts.is_database_busy = False
        case _:
            assert_never(fault)


async def _break_copy(
    parts: Cluster, copy: Copy, fault: Fault, chance: random.Random, note: Note
) -> None:
    if fault is Fault.FREEZE:
        seconds = chance.uniform(*FREEZE_SECONDS)
        note(f"{fault}: copy {copy.number} for {seconds:.1f} s")
        await parts.freeze(copy, seconds)
        return
    down_seconds = chance.uniform(*DOWN_SECONDS)
    note(f"{fault}: copy {copy.number}, down for {down_seconds:.1f} s")
    await (parts.kill(copy) if fault is Fault.KILL else parts.terminate(copy))
    await asyncio.sleep(down_seconds)
    await parts.start(copy)


async def _break_database(parts: Cluster, fault: Fault) -> None:
    if fault is Fault.CUT:
        await parts.cut_connections()
    else:
        await parts.restart_database("fast" if fault is Fault.RESTART_FAST else "immediate")


@asynccontextmanager
async def _at_work_on(copy: Copy) -> AsyncIterator[Copy]:
    copy.is_busy = True
    try:
        yield copy
    finally:
        copy.is_busy = False
