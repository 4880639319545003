"""Check what a task is saved with: every problem at once, each with its path."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.cron import UnknownZone, parse_schedule
from engine.discord import WebhookAddress, budget_origin, parse_webhook_url
from engine.errors import FieldError, InvalidInput, InvalidSchedule, InvalidWebhookUrl
from engine.message.rules import message_errors
from engine.text import CONTROL_CHARACTERS, has_control_characters, normalised
from models.enums import DeliveryGuarantee, MisfirePolicy, OverlapPolicy, TaskStatus

MAX_NAME_CHARS = 100
_RANGES = {"max_retry": (0, 10), "failure_threshold": (1, 100), "misfire_grace_seconds": (0, 86400)}
_ENUMS: Mapping[str, Collection[StrEnum]] = {
    # FAILED is the engine's to set.
    "status": (TaskStatus.ACTIVE, TaskStatus.INACTIVE),
    "overlap_policy": tuple(OverlapPolicy),
    "misfire_policy": tuple(MisfirePolicy),
    "delivery_guarantee": tuple(DeliveryGuarantee),
}
DEFAULTS: Mapping[str, object] = {
    "timezone": "UTC",
    "max_retry": 3,
    "status": TaskStatus.ACTIVE,
    "failure_threshold": 1,
    "overlap_policy": OverlapPolicy.SKIP,
    "misfire_policy": MisfirePolicy.FIRE_ONCE,
    "misfire_grace_seconds": 300,
    "delivery_guarantee": DeliveryGuarantee.AT_LEAST_ONCE,
}
REQUIRED = ("name", "schedule", "webhook_url", "payload")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRules:
    """What the settings allow: origins of webhook URLs, the least seconds between two ticks."""

    origins: Collection[str]
    min_interval_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """What is stored of a task, as far as a change of it is checked against that."""

    schedule: str
    timezone: str
    payload: object
    webhook_url_masked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Columns that are right as they stand, and the address if a new webhook URL was given."""

    columns: dict[str, Any]
    address: WebhookAddress | None


def check_new(given: Mapping[str, object], rules: TaskRules) -> Checked:
    """Check the fields of a new task; those left out get their defaults.

    Raises:
        InvalidInput: with all problems.
    """
    missing = [FieldError((name,), "is required") for name in REQUIRED if name not in given]
    return _Check({**DEFAULTS, **given}, rules, None, missing).result()


def check_change(given: Mapping[str, object], rules: TaskRules, current: Current) -> Checked:
    """Check the fields that are to change; the masked URL that was shown means no change.

    Raises:
        InvalidInput: with all problems.
    """
    return _Check(given, rules, current, []).result()


class _Check:
    def __init__(
        self,
        given: Mapping[str, object],
        rules: TaskRules,
        current: Current | None,
        errors: list[FieldError],
    ) -> None:
        self._given = {name: value for name, value in given.items() if value is not None}
        self._rules = rules
        self._current = current
        self._columns: dict[str, Any] = {}
        self._address: WebhookAddress | None = None
        self._errors = errors
        for name, value in given.items():
            if value is None:
                self._fail(name, "can't be null")

    def result(self) -> Checked:
        self._name()
        self._schedule()
        self._webhook_url()
        self._payload()
        self._numbers()
        self._enums()
        if self._errors:
            raise InvalidInput(self._errors)
        return Checked(columns=self._columns, address=self._address)

    def _fail(self, name: str, message: str, *path: str | int) -> None:
        self._errors.append(FieldError((name, *path), message))

    def _text(self, name: str) -> str | None:
        value = self._given.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self._fail(name, "must be text")
            return None
        if has_control_characters(value):
            self._fail(name, CONTROL_CHARACTERS)
            return None
        return normalised(value)

    def _name(self) -> None:
        name = self._text("name")
        if name is None:
            return
        if not 1 <= len(name) <= MAX_NAME_CHARS:
            self._fail("name", f"has {len(name)} characters; 1 to {MAX_NAME_CHARS} are allowed")
        self._columns["name"] = name

    def _schedule(self) -> None:
        """Either may change alone, but they are only right together."""
        expression, timezone = self._text("schedule"), self._text("timezone")
        if expression is not None:
            self._columns["schedule"] = expression
        if timezone is not None:
            self._columns["timezone"] = timezone
        if self._current is not None:
            expression = self._current.schedule if expression is None else expression
            timezone = self._current.timezone if timezone is None else timezone
        if not self._columns.keys() & {"schedule", "timezone"} or expression is None:
            return
        try:
            interval = parse_schedule(
                expression, "UTC" if timezone is None else timezone
            ).shortest_interval_seconds()
        except UnknownZone as error:
            self._fail("timezone", str(error))
            self._schedule_alone(expression)
        except InvalidSchedule as error:
            self._fail("schedule", str(error))
        else:
            self._interval(interval)

    def _schedule_alone(self, expression: str) -> None:
        try:
            self._interval(parse_schedule(expression, "UTC").shortest_interval_seconds())
        except InvalidSchedule as error:
            self._fail("schedule", str(error))

    def _interval(self, seconds: float) -> None:
        least = self._rules.min_interval_seconds
        if seconds < least:
            self._fail(
                "schedule", f"fires every {seconds:g} s; at least {least} s must lie between"
            )

    def _webhook_url(self) -> None:
        url = self._text("webhook_url")
        if url is None or (self._current is not None and url == self._current.webhook_url_masked):
            return
        try:
            address = parse_webhook_url(url, origins=self._rules.origins)
        except InvalidWebhookUrl as error:
            self._fail("webhook_url", str(error))
            return
        self._address = address
        self._columns |= {
            "webhook_url_masked": address.masked,
            "webhook_id": address.webhook_id,
            "webhook_key": address.key,
            "origin": budget_origin(address.origin),
        }

    def _payload(self) -> None:
        """A thread in the URL and a thread's name in the payload exclude each other."""
        payload = self._given.get("payload")
        if payload is not None:
            self._columns["payload"] = payload
        elif self._address is None or self._current is None:
            return
        else:
            payload = self._current.payload
        masked = self._current.webhook_url_masked if self._current is not None else ""
        has_thread = "thread_id=" in (self._address.masked if self._address else masked)
        for error in message_errors(payload, has_thread=has_thread):
            self._fail("payload", error.message, *error.path)

    def _numbers(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = self._given.get(name)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool):
                self._fail(name, "must be a whole number")
            elif not low <= value <= high:
                self._fail(name, f"is {value}; {low} to {high} is allowed")
            else:
                self._columns[name] = value

    def _enums(self) -> None:
        for name, values in _ENUMS.items():
            value = self._given.get(name)
            if value is None:
                continue
            if value not in values:
                self._fail(name, f"must be one of {', '.join(values)}")
            else:
                self._columns[name] = value
