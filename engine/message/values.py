"""The kinds of single values that a message is made of."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from engine.message.parts import problem
from engine.message.sentences import wrong_type

Choice = TypeVar("Choice", int, str)

# An unsigned 64-bit integer in decimal, as long as Discord's epoch makes them.
_SNOWFLAKE = re.compile(r"[1-9][0-9]{16,19}")
_SNOWFLAKE_END = 2**64
_COLOUR_END = 0xFFFFFF
_HEX_COLOUR = re.compile(r"(?:#|0[xX])([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)


def characters(at_most: int | None, at_least: int = 0) -> StringConstraints:
    """Return the bounds of a string's length: Discord counts code points after trimming blanks."""
    return StringConstraints(strip_whitespace=True, min_length=at_least, max_length=at_most)


def one_of(*choices: Choice) -> Callable[[Choice], Choice]:
    """Return a check for a few allowed values. pydantic's Literal would take true and 1.0 for 1."""
    allowed = " or ".join(str(choice) for choice in choices)

    def check(value: Choice) -> Choice:
        if value not in choices:
            raise problem(f"must be {allowed}")
        return value

    return check


def absolute_url(*schemes: str) -> Callable[[str], str]:
    """Return a check for absolute URLs of these schemes."""
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(url: str) -> str:
        if url.lower().startswith("attachment://"):
            raise problem("names an attachment, but files are not supported; give an http(s) URL")
        if not _is_absolute(url, schemes):
            raise problem(f"must be an absolute URL that begins with {allowed}")
        return url

    return check


def _is_absolute(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    # Links into the client, such as discord:///channels/@me, need no host.
    has_place = bool(parts.hostname) or url.lower().startswith("discord:///")
    # urlsplit drops line breaks and tabs, so blanks are looked for in the whole.
    return parts.scheme in schemes and has_place and port != 0 and not re.search(r"\s", url)


def _snowflake(value: object) -> object:
    if type(value) is int:
        raise problem("must be a string of digits in quotes; a number this long loses digits")
    if isinstance(value, str) and not (_SNOWFLAKE.fullmatch(value) and int(value) < _SNOWFLAKE_END):
        raise problem("must be an id of Discord: 17 to 20 digits")
    return value


def _colour(value: object) -> object:
    if isinstance(value, str) and (match := _HEX_COLOUR.fullmatch(value.strip())):
        digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
        raise problem(f"{wrong_type('an integer', value)}; for this colour write {int(digits, 16)}")
    return value


def _timestamp(value: str) -> str:
    if _DATE_TIME.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise problem("must be a date and time of ISO 8601, such as 2026-01-31T18:30:00Z")


Snowflake = Annotated[str, BeforeValidator(_snowflake)]
Colour = Annotated[int, Field(ge=0, le=_COLOUR_END), BeforeValidator(_colour)]
Timestamp = Annotated[str, characters(None), AfterValidator(_timestamp)]
WebUrl = Annotated[str, characters(2048), AfterValidator(absolute_url("http", "https"))]
