import asyncio

from engine.slices import SLICE_SECONDS, Slices


async def test_work_gives_way_once_in_each_slice() -> None:
    now = 5.0
    slices = Slices(clock=lambda: now)
    loop = asyncio.get_running_loop()
    turns: list[int] = []

    for number in range(40):
        loop.call_soon(turns.append, number)
        await slices.give_way()
        now += SLICE_SECONDS / 4
        assert turns == list(range(number // 4 * 4 + 1))
