"""How the parts of a process are, as /health and the metrics show them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """How one part is; `off` means that this process has none.

    One that is `degraded` works, but slower (redis), not for all (worker) or beside a clock that
    is wrong (clock).
    """

    state: Literal["ok", "degraded", "down", "off"]
    detail: str
