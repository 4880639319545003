"""What the page shows of a message: every value checked and cut, whatever was sent."""

import re
from collections.abc import Mapping
from datetime import datetime

from sandbox.markdown import Node, parse, parse_inline

Json = dict[str, object]

WEBHOOK_NAME = "Sandbox"
SUPPRESS_EMBEDS = 4
MAX_COLOR = 0xFFFFFF
# Source: Discord docs, Execute Webhook and Embed Limits.
MAX_EMBEDS = 10
MAX_FIELDS = 25
MAX_ANSWERS = 10

_WEB_URL = re.compile(r"https?://[^\s]{1,2040}")


def shown(payload: Mapping[str, object], *, message_id: int, at: datetime) -> Json:
    """Return a message as the page takes it; `at` is when it came."""
    flags = payload.get("flags")
    is_plain = isinstance(flags, int) and bool(flags & SUPPRESS_EMBEDS)
    embeds = [] if is_plain else _objects(payload.get("embeds"), MAX_EMBEDS)
    return {
        "id": str(message_id),
        "at": at.isoformat(),
        "name": _text(payload.get("username"), 80) or WEBHOOK_NAME,
        "content": parse(_text(payload.get("content"), 2000)),
        "embeds": [_embed(embed) for embed in embeds],
        "notes": _notes(payload),
    }


def _embed(embed: Mapping[str, object]) -> Json:
    color = embed.get("color")
    has_color = isinstance(color, int) and 0 <= color <= MAX_COLOR
    return {
        "color": f"#{color:06x}" if has_color else None,
        "author": _text(_object(embed.get("author")).get("name"), 256),
        "title": parse_inline(_text(embed.get("title"), 256)),
        "href": _web_url(embed.get("url")),
        "description": parse(_text(embed.get("description"), 4096)),
        "fields": [_field(field) for field in _objects(embed.get("fields"), MAX_FIELDS)],
        "pictures": _pictures(embed),
        "footer": _text(_object(embed.get("footer")).get("text"), 2048),
        "at": _time(embed.get("timestamp")),
    }


def _field(field: Mapping[str, object]) -> Json:
    return {
        "name": parse_inline(_text(field.get("name"), 256)),
        "value": parse(_text(field.get("value"), 1024)),
        "inline": field.get("inline") is True,
    }


def _pictures(embed: Mapping[str, object]) -> list[Node]:
    """Return links in place of pictures: the page loads nothing from elsewhere."""
    urls = {name: _web_url(_object(embed.get(name)).get("url")) for name in ("image", "thumbnail")}
    return [{"kind": "link", "href": url, "of": [name]} for name, url in urls.items() if url]


def _notes(payload: Mapping[str, object]) -> list[str]:
    """Return a line for each part that the page doesn't draw."""
    notes = []
    if thread := _text(payload.get("thread_name"), 100):
        notes.append(f"Starts the thread: {thread}")
    poll = _object(payload.get("poll"))
    if question := _text(_object(poll.get("question")).get("text"), 300):
        media = [
            _object(one.get("poll_media")) for one in _objects(poll.get("answers"), MAX_ANSWERS)
        ]
        answers = " / ".join(_text(one.get("text"), 300) for one in media)
        notes.append(f"Poll: {question} {answers}")
    if payload.get("components"):
        notes.append("It has components, which this page doesn't draw.")
    return notes


def _text(value: object, most_chars: int) -> str:
    return value.strip()[:most_chars] if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _objects(value: object, most: int) -> list[Mapping[str, object]]:
    items = value[:most] if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def _web_url(value: object) -> str | None:
    return value if isinstance(value, str) and _WEB_URL.fullmatch(value) else None


def _time(value: object) -> str | None:
    try:
        return datetime.fromisoformat(value).isoformat() if isinstance(value, str) else None
    except ValueError:
        return None
