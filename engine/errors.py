"""The errors of the engine: one root, data as attributes, the docstring says what happened."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One problem of an input: where it is (keys and list positions), and what, in a sentence."""

    path: tuple[str | int, ...]
    message: str


class EngineError(Exception):
    """The engine could not do what it was asked."""


class InvalidInput(EngineError):
    """What was given breaks a rule; `errors` lists every problem found, not only the first."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in self.errors))


class Conflict(InvalidInput):
    """What was given is right by itself, but collides with something stored."""


class NotFound(EngineError):
    """There is no such thing, or no longer."""


class InvalidSchedule(EngineError):
    """The cron expression or its zone can't be used; the message says why, fit for a user."""


class InvalidWebhookUrl(EngineError):
    """The webhook URL can't be used; the message says why and never holds the URL."""
