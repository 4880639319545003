"""Stock aiocron with many jobs: `aiocron_load.py PLANS.json`, a list of schedules and zones.

It prints how long all took to start, and how many bytes each takes.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import aiocron


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def load(plans: list[tuple[str, str]]) -> None:
    """Start a job for each."""

    async def tick() -> None:
        return None

    loop = asyncio.get_running_loop()
    zones = {zone: ZoneInfo(zone) for _, zone in plans}
    before, began = resident_bytes(), time.monotonic()
    jobs = [
        aiocron.crontab(schedule, func=tick, start=True, loop=loop, tz=zones[zone])
        for schedule, zone in plans
    ]
    await asyncio.sleep(0)
    seconds = time.monotonic() - began
    size = (resident_bytes() - before) / len(jobs)
    print(json.dumps({"start_seconds": seconds, "bytes_per_job": size}), flush=True)


if __name__ == "__main__":
    asyncio.run(load(json.loads(Path(sys.argv[1]).read_text())))
