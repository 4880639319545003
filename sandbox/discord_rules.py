"""What Discord checks and answers, as far as a client can tell; no I/O."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

Headers = dict[str, str]
Json = dict[str, object]

VIA = {"Via": "1.1 google"}
_BOOLEANS = frozenset({"true", "True", "1", "false", "False", "0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """So many requests in so many seconds."""

    sends: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A 429 to give; `scope` is user, shared or global."""

    retry_after: float
    scope: str

    def body(self) -> Json:
        """Return the JSON that goes with it."""
        return {
            "message": "You are being rate limited.",
            "retry_after": round(self.retry_after, 3),
            "global": self.scope == "global",
        }

    def headers(self) -> Headers:
        """Return the headers that only a 429 has."""
        headers = {
            "Retry-After": str(math.ceil(self.retry_after)),
            "X-RateLimit-Scope": self.scope,
        }
        return headers | {"X-RateLimit-Global": "true"} if self.scope == "global" else headers


@dataclass(slots=True)
class _Window:
    ends_at: float
    used: int = 0


@dataclass(kw_only=True)
class Limits:
    """Counts requests; a limit that is None is off.

    A webhook has a fixed window that its headers tell; its channel and all together slide unseen.
    """

    webhook_limit: Limit | None
    channel_limit: Limit | None
    global_limit: Limit | None
    _webhooks: dict[str, _Window] = field(default_factory=dict)
    _channels: dict[str, deque[float]] = field(default_factory=dict)
    _origin: deque[float] = field(default_factory=deque)

    def take(self, webhook_id: str, channel_id: str, now: float) -> tuple[Headers, Refusal | None]:
        """Count one request unless a limit refuses it; return its headers and the refusal."""
        if wait := self._slide(self._origin, self.global_limit, now):
            return {}, Refusal(retry_after=wait, scope="global")
        headers, wait = self._take_webhook(webhook_id, now)
        if wait:
            return headers, Refusal(retry_after=wait, scope="user")
        sends = self._channels.setdefault(channel_id, deque())
        if wait := self._slide(sends, self.channel_limit, now):
            return headers, Refusal(retry_after=wait, scope="shared")
        return headers, None

    def _take_webhook(self, webhook_id: str, now: float) -> tuple[Headers, float]:
        limit = self.webhook_limit
        if limit is None:
            return {}, 0.0
        window = self._webhooks.get(webhook_id)
        if window is None or window.ends_at <= now:
            window = self._webhooks[webhook_id] = _Window(now + limit.seconds)
        left = limit.sends - window.used
        window.used = min(window.used + 1, limit.sends)
        reset_after = window.ends_at - now
        headers = {
            "X-RateLimit-Limit": str(limit.sends),
            "X-RateLimit-Remaining": str(max(left - 1, 0)),
            "X-RateLimit-Reset-After": f"{reset_after:.3f}",
            "X-RateLimit-Bucket": "fake",
        }
        return headers, 0.0 if left > 0 else reset_after

    @staticmethod
    def _slide(sends: deque[float], limit: Limit | None, now: float) -> float:
        """Count one in a sliding window, or return how long until it would fit."""
        if limit is None:
            return 0.0
        while sends and sends[0] <= now - limit.seconds:
            sends.popleft()
        if len(sends) >= limit.sends:
            return sends[0] + limit.seconds - now
        sends.append(now)
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error answer in Discord's form."""

    status: int
    code: int
    message: str
    errors: Json | None = None

    def body(self) -> Json:
        """Return the JSON that goes with it."""
        body: Json = {"message": self.message, "code": self.code}
        return body if self.errors is None else body | {"errors": self.errors}


NOT_FOUND = Problem(status=404, code=0, message="404: Not Found")
METHOD_NOT_ALLOWED = Problem(status=405, code=0, message="405: Method Not Allowed")
TOO_LARGE = Problem(status=413, code=40005, message="Request entity too large")
UNKNOWN_WEBHOOK = Problem(status=404, code=10015, message="Unknown Webhook")
INVALID_TOKEN = Problem(status=401, code=50027, message="Invalid Webhook Token")
EMPTY_MESSAGE = Problem(status=400, code=50006, message="Cannot send an empty message")
BROKEN_JSON = Problem(status=400, code=50109, message="The request body contains invalid JSON.")


def form_problem(path: str, code: str, message: str) -> Problem:
    """Return the 50035 answer for one field; `path` is like embeds.0.title."""
    errors: Json = {"_errors": [{"code": code, "message": message}]}
    for key in reversed(path.split(".")):
        errors = {key: errors}
    return Problem(status=400, code=50035, message="Invalid Form Body", errors=errors)


def request_problem(query: Mapping[str, str], content_type: str, payload: object) -> Problem | None:
    """Return what Discord would find wrong with a request, if anything; not every rule is here."""
    if content_type != "application/json":
        return form_problem(
            "_content_type", "CONTENT_TYPE_INVALID", 'Expected "Content-Type" application/json.'
        )
    for name in ("wait", "with_components"):
        if query.get(name, "false") not in _BOOLEANS:
            return form_problem(name, "BASE_TYPE_CHOICES", "Must be either true or false.")
    if not isinstance(payload, dict):
        return BROKEN_JSON
    content = payload.get("content")
    if isinstance(content, str) and len(content.strip()) > 2000:
        return form_problem("content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length.")
    shown = ("embeds", "poll") + (("components",) if query.get("with_components") else ())
    blank = not (isinstance(content, str) and content.strip())
    return EMPTY_MESSAGE if blank and not any(payload.get(key) for key in shown) else None
