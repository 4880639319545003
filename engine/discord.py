"""The address of a Discord webhook: read strictly, stored in one form, never shown in full."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from engine.errors import InvalidWebhookUrl

DISCORD_ORIGINS = (
    "https://discord.com",
    "https://discordapp.com",
    "https://ptb.discord.com",
    "https://canary.discord.com",
)
"""The hosts that serve Discord's API. Source: Discord docs, Reference."""

API_VERSION = 10
"""Named by every request; a path without one still means 6. Source: Discord docs, Reference."""

MAX_URL_CHARS = 400
"""A longer text is no webhook URL: the longest valid one has about 250 characters."""

_URL = re.compile(r"(?P<origin>[^/?#]+://[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")
_WEBHOOK_PATH = re.compile(r"/api(?:/v[1-9][0-9]?)?/webhooks/(?P<id>[^/]+)/(?P<token>[^/]+)")
_SNOWFLAKE = re.compile(r"[1-9][0-9]{16,19}")
_SNOWFLAKE_LIMIT = 2**64
_TOKEN = re.compile(r"[A-Za-z0-9_-]{60,100}")
_BOOLEANS = frozenset({"true", "True", "1", "false", "False", "0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAddress:
    """Where a webhook posts to; `token` is the credential and stays out of the repr."""

    origin: str
    webhook_id: str
    token: str = field(repr=False)
    thread_id: str | None = None

    @property
    def key(self) -> bytes:
        """The SHA-256 of id and token: equal for two URLs that post as the same webhook."""
        return hashlib.sha256(f"{self.webhook_id}/{self.token}".encode()).digest()

    @property
    def url(self) -> str:
        """The one form that is stored; a secret. Parsing it gives this address again."""
        return f"{self.origin}/api/webhooks/{self.webhook_id}/{self.token}{self._thread}"

    @property
    def masked(self) -> str:
        """The form that may be shown."""
        return f"{self.origin}/api/webhooks/{self.webhook_id}/****{self._thread}"

    def request_url(self, *, with_components: bool) -> str:
        """Return where to POST; a secret. `with_components` makes Discord honour that field."""
        thread = f"&thread_id={self.thread_id}" if self.thread_id else ""
        components = "&with_components=true" if with_components else ""
        return (
            f"{self.origin}/api/v{API_VERSION}/webhooks/{self.webhook_id}/{self.token}"
            f"?wait=true{thread}{components}"
        )

    @property
    def _thread(self) -> str:
        return f"?thread_id={self.thread_id}" if self.thread_id else ""


def parse_webhook_url(url: str, *, origins: Collection[str]) -> WebhookAddress:
    """Read a webhook URL as a person pasted it; blanks around it are dropped.

    `origins` alone decides which scheme, host and port are taken. What the query says of `wait` and
    `with_components` is checked and dropped: both are set anew for each request.
    Raises: InvalidWebhookUrl, whose sentence holds nothing of the URL.
    """
    text = url.strip()
    if len(text) > MAX_URL_CHARS or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidWebhookUrl("A webhook URL has no blanks, only ASCII, and is not that long.")
    if "#" in text:
        raise InvalidWebhookUrl("A webhook URL has no fragment (#...).")
    parts = _URL.fullmatch(text)
    if parts is None:
        raise InvalidWebhookUrl(f"The URL must begin with {_listed(origins)}.")
    origin = _accepted_origin(parts["origin"], origins)
    webhook_id, token = _id_and_token(parts["path"])
    thread_id = _thread_id(parts["query"] or "")
    return WebhookAddress(origin=origin, webhook_id=webhook_id, token=token, thread_id=thread_id)


def budget_origin(origin: str) -> str:
    """Return the origin whose limits apply: all hosts of Discord share one budget."""
    return DISCORD_ORIGINS[0] if origin in DISCORD_ORIGINS else origin


def _accepted_origin(given: str, origins: Collection[str]) -> str:
    if "@" in given:
        raise InvalidWebhookUrl("A webhook URL holds no user name or password.")
    accepted = {origin.lower().rstrip("/") for origin in origins}
    if given.lower() not in accepted:
        raise InvalidWebhookUrl(f"The URL must begin with {_listed(origins)}.")
    return given.lower()


def _listed(origins: Collection[str]) -> str:
    return " or ".join(sorted(origins))


def _id_and_token(path: str) -> tuple[str, str]:
    if path.endswith(("/slack", "/github")):
        raise InvalidWebhookUrl("The /slack and /github forms of a webhook take other messages.")
    parts = _WEBHOOK_PATH.fullmatch(path)
    if parts is None:
        raise InvalidWebhookUrl("The path must be /api/webhooks/ID/TOKEN, as Discord shows it.")
    if not _is_snowflake(parts["id"]):
        raise InvalidWebhookUrl("The webhook's id must be a number of 17 to 20 digits.")
    if _TOKEN.fullmatch(parts["token"]) is None:
        raise InvalidWebhookUrl("The token must be 60 to 100 letters, digits, - or _.")
    return parts["id"], parts["token"]


def _thread_id(query: str) -> str | None:
    values: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name not in ("thread_id", "wait", "with_components"):
            raise InvalidWebhookUrl("The query takes thread_id, wait and with_components only.")
        if name in values:
            raise InvalidWebhookUrl(f"The query gives {name} twice.")
        if name != "thread_id" and value not in _BOOLEANS:
            raise InvalidWebhookUrl(f"{name} must be true or false.")
        values[name] = value
    thread_id = values.get("thread_id")
    if thread_id is not None and not _is_snowflake(thread_id):
        raise InvalidWebhookUrl("thread_id must be a number of 17 to 20 digits.")
    return thread_id


def _is_snowflake(text: str) -> bool:
    return _SNOWFLAKE.fullmatch(text) is not None and int(text) < _SNOWFLAKE_LIMIT
