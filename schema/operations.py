"""Each operation is counted by its name and outcome, which the line of its request tells too."""

import re
from collections.abc import Iterator
from typing import Any, Final

import structlog
from strawberry.extensions import SchemaExtension

from engine.metrics import OPERATIONS

MAX_NAMES: Final = 100
"""How many names are told apart: each is kept by this process and by Prometheus."""
OK: Final = "ok"
ANONYMOUS: Final = "anonymous"
OTHER: Final = "other"

# Source: GraphQL, "Names". One as long as this is shorter than a webhook's token.
_NAME: Final = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,49}")


class OperationNames:
    """The names that have been seen; only what was executed without an error adds one."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, name: str, outcome: str) -> str:
        """Return what to count the operation as."""
        if name in {ANONYMOUS, OTHER} or name in self._known:
            return name
        if outcome != OK or len(self._known) >= MAX_NAMES:
            return OTHER
        self._known.add(name)
        return name


class CountOperation(SchemaExtension):
    """Count the operation once its answer is there, with the errors as the client sees them."""

    def __init__(self, names: OperationNames) -> None:
        self._names = names
        self._is_executed = self._is_counted = False

    def on_execute(self) -> Iterator[None]:
        """Note that the operation wasn't refused."""
        self._is_executed = True
        yield

    def get_results(self) -> dict[str, Any]:
        """Add nothing to the answer: Strawberry asks for this last, for a stream several times.

        Of a stream that was refused it asks once before the errors have their codes.
        """
        errors = self.execution_context.pre_execution_errors or ()
        codes = [(error.extensions or {}).get("code") for error in errors]
        if not self._is_counted and (codes[0] if codes else self._is_executed):
            self._is_counted = True
            outcome = str(codes[0]) if codes else OK
            name = well_formed(self.execution_context.operation_name)
            note_outcome(self._names.label(name, outcome), outcome, name=name)
        return {}


def well_formed(name: str | None) -> str:
    """Return an operation's name as it may be shown: a client can send anything as one."""
    if not name:
        return ANONYMOUS
    return name if _NAME.fullmatch(name) else OTHER


def note_outcome(label: str, outcome: str, *, name: str) -> None:
    """Count one operation, and add it to the line of its request."""
    OPERATIONS.labels(label, outcome).inc()
    structlog.contextvars.bind_contextvars(operation=name, outcome=outcome)
