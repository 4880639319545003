"""Tokens of webhooks blotted out of text: defence in depth, where something else went wrong."""

import re
from typing import Final

MASK: Final = "****"
# A webhook's path up to its token, also as a part of another URL's query.
_WEBHOOK: Final = re.compile(
    r"(webhooks(?:/|%2[Ff]|\\/)[0-9]{17,20}(?:/|%2[Ff]|\\/))[A-Za-z0-9_.-]{20,}"
)
# Discord's tokens have 68 characters. What is shorter in a log may be a client's request id.
# The look behind spares it a try at each letter of every word.
_AS_LONG_AS_A_TOKEN: Final = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{65,}")
# In a sentence of somebody else's nothing that long is worth reading.
_TOO_LONG_FOR_A_WORD: Final = re.compile(r"[A-Za-z0-9_-]{50,}")


# webhooks/, 17 digits, a slash and 20 characters: what is shorter matches nothing here.
_SHORTEST: Final = 47
_HARMLESS: Final = frozenset({int, float, type(None)})


def may_hide_a_token(value: object) -> bool:
    """Return False if `mask` would leave the value as it is: it is a number or a short text."""
    if isinstance(value, str):
        return len(value) >= _SHORTEST
    # A bool may say that a traceback is to follow.
    return type(value) not in _HARMLESS


def mask(text: str) -> str:
    """Return a line of the log without what has the form of a token."""
    return _AS_LONG_AS_A_TOKEN.sub(MASK, _without_paths(text))


def mask_words(text: str) -> str:
    """Return what a client or Discord wrote without anything that may be a token."""
    return _TOO_LONG_FOR_A_WORD.sub(MASK, _without_paths(text))


def _without_paths(text: str) -> str:
    return _WEBHOOK.sub(rf"\1{MASK}", text) if "webhooks" in text else text
