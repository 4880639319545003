"""The types of the API for the dashboard, the engine and previews."""

import dataclasses
from datetime import datetime
from typing import Self

import strawberry

from engine.engine import EngineStatus as Status
from engine.statistics import Dashboard
from schema.documented import object_type

field = strawberry.field


@object_type
class RunStats:
    """How runs went. Each run counts once, however many attempts it took."""

    succeeded: int = field(description="Runs that Discord accepted.")
    failed: int = field(description="Runs that failed for good.")
    retried: int = field(description="Runs whose first attempt failed and was repeated.")
    skipped: int = field(description="Entries for ticks that were not sent.")
    success_rate: float | None = field(
        description="succeeded / (succeeded + failed), 0 to 1; null before the first has ended."
    )
    lateness_ms_p50: float | None = field(
        description="The median time from the tick to the request sent, in milliseconds."
    )
    lateness_ms_p99: float | None = field(
        description="The time from the tick to the request sent that 99 % of runs keep."
    )


@object_type
class DashboardStats:
    """All tasks and their runs at a glance."""

    total: int = field(description="How many tasks there are.")
    active: int = field(description="How many of them are ACTIVE.")
    inactive: int = field(description="How many of them are INACTIVE.")
    failed: int = field(description="How many of them are FAILED.")
    last_24h: RunStats = field(
        description="The runs of the last 24 hours, as they were a minute ago at most."
    )
    queued: int = field(
        description="How many attempts wait or are in flight, as it was a minute ago at most; "
        "engineStatus has it as it is."
    )
    next_run_at: datetime | None = field(
        description="When the next task runs; null while none is ACTIVE."
    )

    @classmethod
    def of(cls, dashboard: Dashboard) -> Self:
        """Return the figures of the dashboard."""
        figures = dataclasses.asdict(dashboard)
        return cls(**{**figures, "last_24h": RunStats(**figures["last_24h"])})


@object_type
class SchedulePreview:
    """What a schedule means, before a task is saved with it."""

    description: str = field(
        description="The schedule in English: `At 09:00 on Monday through Friday`."
    )
    timezone: str = field(description="The IANA time zone that it is read in.")
    next_runs: list[datetime] = field(description="Its next runs, soonest first.")


@object_type
class EngineStatus:
    """What the process that answers is doing."""

    instance_id: str = field(description="The process, as other copies know it.")
    scheduled_jobs: int = field(description="How many tasks tick in this process.")
    queued: int = field(description="How many attempts wait or are in flight, in all copies.")
    in_flight: int = field(description="How many attempts this process is sending.")
    last_tick_at: datetime | None = field(
        description="The last tick that this process stored; null before the first."
    )
    started_at: datetime = field(description="When this process joined.")

    @classmethod
    def of(cls, status: Status) -> Self:
        """Return the engine's status."""
        return cls(**dataclasses.asdict(status))
