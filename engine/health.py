"""How the parts of a process are, as /health and the metrics show them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """How one part is; `degraded` costs speed only, `off` means that this process has none."""

    state: Literal["ok", "degraded", "down", "off"]
    detail: str
