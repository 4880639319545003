"""A stand-in for Discord with one webhook: it answers as Discord does, and shows what was sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from sandbox.channel import Channel, Message
from sandbox.discord_rules import (
    INVALID_TOKEN,
    METHOD_NOT_ALLOWED,
    TOO_LARGE,
    UNKNOWN_WEBHOOK,
    VIA,
    Headers,
    Json,
    Limit,
    Limits,
    Problem,
    request_problem,
)
from sandbox.shown import WEBHOOK_NAME, shown

# Observed, not promised. Source: Birdie0/discord-webhooks-guide, discord-api-docs issue 367.
WEBHOOK_LIMIT = Limit(sends=5, seconds=2.0)
CHANNEL_LIMIT = Limit(sends=30, seconds=60.0)
MAX_BODY_BYTES = 1_048_576
"""Discord takes 25 MiB, with files; a message without any has less than this."""

# Source: Discord docs, Reference: an id begins with the milliseconds since 2015.
_EPOCH_MS = 1_420_070_400_000
_TIME_SHIFT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The one webhook that there is."""

    id: str
    token: str = field(repr=False)

    @property
    def channel_id(self) -> str:
        """The channel that it posts to."""
        return str(10**17 + int(self.id) % 10**17)

    def url(self, origin: str) -> str:
        """Return the URL that a task takes; a secret."""
        return f"{origin}/api/webhooks/{self.id}/{self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request to a webhook; `body` is None if it was longer than MAX_BODY_BYTES."""

    method: str
    webhook_id: str
    token: str = field(repr=False)
    query: Mapping[str, str]
    content_type: str
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer; without a body it is None."""

    status: int
    body: Json | None
    headers: Headers


class StandIn:
    """Checks and counts what is sent to its webhook, and posts it to the channel."""

    def __init__(
        self,
        webhook: Webhook,
        channel: Channel,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """`now` is aware; `monotonic` is in seconds, and what the limits are counted by."""
        self._webhook = webhook
        self._channel = channel
        self._now = now
        self._monotonic = monotonic
        self._last_id = 0
        self._limits = Limits(
            webhook_limit=WEBHOOK_LIMIT, channel_limit=CHANNEL_LIMIT, global_limit=None
        )

    def answer(self, sent: Sent) -> Reply:
        """Answer a request; what is wrong with it has the form that Discord gives it."""
        if sent.webhook_id != self._webhook.id:
            return _refused(UNKNOWN_WEBHOOK, dict(VIA))
        headers, refusal = self._limits.take(
            sent.webhook_id, self._webhook.channel_id, self._monotonic()
        )
        headers |= VIA
        if refusal is not None:
            return Reply(status=429, body=refusal.body(), headers=headers | refusal.headers())
        payload = _payload(sent.body)
        if problem := self._problem(sent, payload):
            return _refused(problem, headers)
        body = self._post(payload if isinstance(payload, dict) else {})
        if sent.query.get("wait") not in {"true", "True", "1"}:
            return Reply(status=204, body=None, headers=headers)
        return Reply(status=200, body=body, headers=headers)

    def _problem(self, sent: Sent, payload: object) -> Problem | None:
        if sent.token != self._webhook.token:
            return INVALID_TOKEN
        if sent.method != "POST":
            return METHOD_NOT_ALLOWED
        if sent.body is None:
            return TOO_LARGE
        return request_problem(sent.query, sent.content_type, payload)

    def _post(self, payload: Mapping[str, object]) -> Json:
        now = self._now()
        since_epoch_ms = int(now.timestamp() * 1000) - _EPOCH_MS
        self._last_id = max(since_epoch_ms << _TIME_SHIFT, self._last_id + 1)
        self._channel.post(
            Message(id=self._last_id, shown=shown(payload, message_id=self._last_id, at=now))
        )
        return self._message(payload, now)

    def _message(self, payload: Mapping[str, object], now: datetime) -> Json:
        """Return the fields of Discord's message object that don't need an account."""
        name = payload.get("username") or WEBHOOK_NAME
        return {
            "id": str(self._last_id),
            "type": 0,
            "channel_id": self._webhook.channel_id,
            "webhook_id": self._webhook.id,
            "author": {"id": self._webhook.id, "username": name, "avatar": None, "bot": True},
            "content": payload.get("content") or "",
            "embeds": payload.get("embeds") or [],
            "timestamp": now.isoformat(),
            "edited_timestamp": None,
            "tts": payload.get("tts") is True,
            "flags": payload.get("flags") or 0,
            "pinned": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "components": [],
        }


def _payload(body: bytes | None) -> object:
    try:
        return orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None


def _refused(problem: Problem, headers: Headers) -> Reply:
    return Reply(status=problem.status, body=problem.body(), headers=headers)
