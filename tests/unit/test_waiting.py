"""The tests' own waits end, and say why."""

import asyncio

import pytest

from tests.waiting import wait_until


async def test_what_holds_at_the_last_look_is_found() -> None:
    await wait_until(lambda: True, what="truth", timeout_seconds=0.0)


async def test_wait_for_what_never_holds_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"after 0\.02 s there was still no truth"):
        await wait_until(lambda: False, what="truth", timeout_seconds=0.02)


async def test_timeout_ends_what_awaits() -> None:
    asyncio.get_running_loop().call_soon(pytest.fail, "Timeout")

    with pytest.raises(asyncio.CancelledError, match="Timeout"):
        await asyncio.Event().wait()
