"""Arguments that several fields take, and their ranges."""

from typing import Annotated, Final
from uuid import UUID

import strawberry

from engine.errors import FieldError
from engine.text import CONTROL_CHARACTERS, has_control_characters, normalised
from engine.validation import MAX_NAME_CHARS
from schema.errors import bad_arguments
from schema.records import Span

MAX_PAGE: Final = 1_000_000
MAX_LIMIT: Final = 100
MAX_COUNT: Final = 50

IdArgument = Annotated[UUID, strawberry.argument(name="id", description="The task's id.")]
PageArgument = Annotated[
    int, strawberry.argument(description="The page, counted from 1; at most 1000000.")
]
LimitArgument = Annotated[
    int, strawberry.argument(description="How many items a page holds, 1 to 100.")
]
CountArgument = Annotated[int, strawberry.argument(description="How many, 1 to 50.")]


def checked_span(page: int, limit: int) -> Span:
    """Return the rows of a page; raises BAD_USER_INPUT for what is out of range."""
    errors = [*range_errors("page", page, MAX_PAGE), *range_errors("limit", limit, MAX_LIMIT)]
    if errors:
        raise bad_arguments(errors)
    return Span(limit=limit, offset=(page - 1) * limit)


def checked_count(count: int) -> int:
    """Return the count; raises BAD_USER_INPUT when it is out of range."""
    errors = range_errors("count", count, MAX_COUNT)
    if errors:
        raise bad_arguments(errors)
    return count


def range_errors(name: str, value: int, highest: int) -> list[FieldError]:
    """Return the error of an argument that is not in 1 to `highest`, or nothing."""
    if 1 <= value <= highest:
        return []
    return [FieldError((name,), f"is {value}; 1 to {highest} is allowed")]


def checked_text(value: str | None, *path: str) -> str | None:
    """Return a text to look for in the form that is stored, None if there is nothing in it.

    Raises BAD_USER_INPUT for one that no stored name can have.
    """
    text = normalised(value or "")
    if has_control_characters(value or ""):
        raise bad_arguments([FieldError(path, CONTROL_CHARACTERS)])
    if len(text) > MAX_NAME_CHARS:
        message = f"is {len(text)} characters long; at most {MAX_NAME_CHARS} are allowed"
        raise bad_arguments([FieldError(path, message)])
    return text or None


def total_pages(total: int, limit: int) -> int:
    """Return how many pages of at most `limit` items `total` items take."""
    return -(-total // limit)
