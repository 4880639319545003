"""What the resolvers of one operation work with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import strawberry

from engine.audit import Actor
from engine.engine import Engine
from engine.service import TaskService
from engine.statistics import Statistics
from models.database import Database
from schema.keys import Principal
from schema.loaders import Loaders


def utc_now() -> datetime:
    """Return this machine's time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the service behind the API; `now` tells from when upcoming runs are counted."""

    database: Database
    tasks: TaskService
    engine: Engine
    statistics: Statistics
    now: Callable[[], datetime] = utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationContext:
    """One operation: who asks (None: nobody we know), and the services."""

    principal: Principal | None
    actor: Actor
    services: Services
    loaders: Loaders


Info: TypeAlias = strawberry.Info[OperationContext, None]
