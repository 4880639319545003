"""The error bodies of Discord, and of the edge before it, as one readable line without secrets."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice

import orjson

from engine.masking import mask_words

MAX_MESSAGE_CHARS = 2000
MAX_SHOWN_ERRORS = 50
MAX_SHOWN_PATH_CHARS = 300
MAX_SHOWN_TEXT_BYTES = 200

JsonObject = Mapping[str, object]

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


def json_object(body: bytes) -> JsonObject | None:
    """Return the JSON object that a body is, or None when it is anything else."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return data if isinstance(data, dict) else None


def error_code(data: JsonObject | None) -> int | None:
    """Return Discord's code of an error body, if it has one."""
    code = data.get("code") if data is not None else None
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def describe(status: int, body: bytes, data: JsonObject | None, note: str = "") -> str:
    """Return what an answer says: status, code, message, each error as `embeds.0.title: text`."""
    code = error_code(data)
    head = f"HTTP {status}" if code is None else f"HTTP {status}, code {code}"
    said = "; ".join(_said(data or {})) or _short_text(body)
    text = f"{head}: {said}" if said else head
    return clean_text(f"{text}; {note}" if note else text)


def clean_text(text: str) -> str:
    """Make a text fit for a log row: bounded, without tokens and control characters."""
    shown = mask_words(_CONTROLS.sub(" ", text))
    return shown if len(shown) <= MAX_MESSAGE_CHARS else shown[: MAX_MESSAGE_CHARS - 1] + "…"


def _said(data: JsonObject) -> Iterator[str]:
    message = data.get("message")
    if isinstance(message, str) and message:
        yield message
    yield from islice(_flattened(data.get("errors")), MAX_SHOWN_ERRORS)


def _flattened(errors: object) -> Iterator[str]:
    # A stack, since the body may nest deeper than Python recurses.
    nodes = [("", errors)]
    while nodes:
        path, node = nodes.pop()
        if not isinstance(node, dict):
            continue
        leaves = node.get("_errors")
        for leaf in leaves if isinstance(leaves, list) else ():
            yield f"{path}: {_leaf_text(leaf)}" if path else _leaf_text(leaf)
        children = [(_joined(path, key), child) for key, child in node.items()]
        nodes.extend(reversed(children))


def _joined(path: str, key: str) -> str:
    shown = mask_words(key)  # before the end is cut off: half a token is one too
    return (f"{path}.{shown}" if path else shown)[:MAX_SHOWN_PATH_CHARS]


def _leaf_text(leaf: object) -> str:
    text = leaf.get("message") or leaf.get("code") if isinstance(leaf, dict) else leaf
    return str(text or "not valid")


def _short_text(body: bytes) -> str:
    """Return a body that is short plain text, such as the edge's "error code: 1015"."""
    if len(body) > MAX_SHOWN_TEXT_BYTES or body.lstrip().startswith(b"<"):
        return ""
    return body.decode(errors="replace").strip()
