"""Errors as the API shows them: a stable code, every field with its path, nothing of the inside."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import structlog
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.utils.str_converters import to_camel_case

from engine.errors import Conflict, FieldError, InvalidInput, NotFound
from engine.masking import mask_words
from models.database import is_unavailable
from models.errors import ReadTooSlow
from schema.complexity import MAX_TOKENS

MAX_FIELD_ERRORS: Final = 100
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Of an answer as JSON: costs bound its fields, some of which may hold much."""
MAX_SENTENCE_CHARS: Final = 1_000
"""What is looked at of a sentence of graphql-core, which may repeat a megabyte of the client's."""
MAX_TOLD: Final = 3
"""How many field errors the message itself tells."""

MAX_LOGGED_CAUSES: Final = 5
"""How many causes of one operation the log shows; it counts the others."""

TOO_SLOW: Final = (
    "Reading this took too long and was stopped. Ask for less, or with another filter."
)
UNAVAILABLE: Final = (
    "The database can't be reached at the moment; look whether a change was stored."
)
UNEXPECTED: Final = "Something went wrong inside; the server's log has it under this requestId."

# graphql-core's sentence about a variable; the path is .name for keys and [0] for list positions.
_VARIABLE: Final = re.compile(
    r"Variable '\$(\w+)' has invalid value(?: at ((?:\.\w+|\[\d+\])+))?: (.*)", re.DOTALL
)
# It ends by repeating the value, a long one cut in the middle.
_FOUND: Final = re.compile(
    r"(?:[,;]? (?:found|but got)|(?<= cannot represent)(?P<kind>[\w -]{0,40} value)): .*",
    re.DOTALL | re.IGNORECASE,
)
# What it quotes of a text that it can't parse: a wrong place may hold a token, or a part of one.
_KIND: Final = "(Name|String|BlockString|Int|Float|variable) "
_LEXEME: Final = re.compile(rf"{_KIND}(?:'.{{16,}}'|\".{{16,}}\")", re.DOTALL)
# In a sentence that was cut, whose last quote may be one of the text's own.
_CUT_LEXEME: Final = re.compile(rf"{_KIND}['\"].{{16,}}", re.DOTALL)
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
# How its parser ends the sentence about too many tokens; a client's own words end with a quote.
_TOO_LONG: Final = f"more than {MAX_TOKENS} tokens. Parsing aborted."

log = structlog.get_logger(__name__)


class ErrorCode(StrEnum):
    """What kind of error it is, for clients to decide by."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


def api_error(
    code: ErrorCode,
    message: str,
    *,
    fields: Sequence[FieldError] = (),
    at: GraphQLError | None = None,
    request_id: str | None = None,
) -> GraphQLError:
    """Return an error with its code, at the place in the operation where `at` happened.

    BAD_USER_INPUT and CONFLICT tell `fields`; `request_id` is told when it is given.
    """
    extensions: dict[str, object] = {"code": code.value}
    if code in {ErrorCode.BAD_USER_INPUT, ErrorCode.CONFLICT}:
        extensions["fieldErrors"] = [
            {"path": list(field.path), "message": field.message}
            for field in fields[:MAX_FIELD_ERRORS]
        ]
    if request_id is not None:
        extensions["requestId"] = request_id
    if at is None:
        return GraphQLError(message, extensions=extensions)
    return GraphQLError(message, at.nodes, at.source, at.positions, at.path, extensions=extensions)


def bad_arguments(errors: Iterable[FieldError]) -> GraphQLError:
    """Return the error for wrong arguments of a field; their paths begin with Python's names."""
    fields = [_named(error) for error in errors]
    return api_error(ErrorCode.BAD_USER_INPUT, _summary(fields), fields=fields)


def not_found(message: str) -> GraphQLError:
    """Return the error for something that is not there, or no longer."""
    return api_error(ErrorCode.NOT_FOUND, message)


def too_complex(message: str) -> GraphQLError:
    """Return the error for an operation that asks for more than is allowed."""
    return api_error(ErrorCode.QUERY_TOO_COMPLEX, message)


def answer_too_long() -> GraphQLError:
    """Return the error for an operation that ran, whose answer is too long to be sent."""
    return too_complex(
        f"The answer has more than {MAX_ANSWER_BYTES} bytes: ask for shorter lists. What the "
        "operation changed is stored."
    )


def no_such_operation() -> GraphQLError:
    """Return the error for an operationName that the document doesn't have, or has nothing for."""
    message = "The document has no such operation: operationName must name one of them."
    return api_error(ErrorCode.BAD_USER_INPUT, message)


def presented(errors: Iterable[GraphQLError], request_id: str | None) -> list[GraphQLError]:
    """Return the errors as clients may see them, and log once each cause that nobody expected.

    Of many causes the log shows MAX_LOGGED_CAUSES, and how many there were.
    """
    causes: set[int] = set()
    shown = [_presented(error, request_id, causes) for error in errors]
    if len(causes) > MAX_LOGGED_CAUSES:
        hidden = len(causes) - MAX_LOGGED_CAUSES
        log.error("more_errors_not_shown", request_id=request_id, count=hidden)
    return shown


def _presented(error: GraphQLError, request_id: str | None, causes: set[int]) -> GraphQLError:
    if error.extensions and "code" in error.extensions:
        return error
    cause = error.original_error
    if isinstance(error, GraphQLSyntaxError) and error.message.endswith(_TOO_LONG):
        return too_complex(f"The document has more than the {MAX_TOKENS} tokens that are allowed.")
    match cause:
        case CannotGetOperationTypeError():
            return no_such_operation()
        case None | GraphQLError() | MissingQueryError():
            message = _without_values(error.message)
            fields = _variable_fields(message, error)
            return api_error(ErrorCode.BAD_USER_INPUT, message, fields=fields, at=error)
        case InvalidInput():
            code = ErrorCode.CONFLICT if isinstance(cause, Conflict) else ErrorCode.BAD_USER_INPUT
            fields = [_named(field, "input") for field in cause.errors]
            return api_error(code, _summary(fields), fields=fields, at=error)
        case NotFound():
            return api_error(ErrorCode.NOT_FOUND, str(cause), at=error)
        case _:
            return _masked(error, cause, request_id, causes)


def _masked(
    error: GraphQLError, cause: Exception, request_id: str | None, causes: set[int]
) -> GraphQLError:
    is_new = id(cause) not in causes
    causes.add(id(cause))
    if is_new and len(causes) <= MAX_LOGGED_CAUSES:
        _log_cause(error, cause, request_id)
    if isinstance(cause, ReadTooSlow):
        return api_error(ErrorCode.QUERY_TOO_COMPLEX, TOO_SLOW, at=error, request_id=request_id)
    return api_error(
        ErrorCode.INTERNAL_SERVER_ERROR,
        UNAVAILABLE if is_unavailable(cause) else UNEXPECTED,
        at=error,
        request_id=request_id,
    )


def _log_cause(error: GraphQLError, cause: Exception, request_id: str | None) -> None:
    if isinstance(cause, ReadTooSlow):
        log.warning("read_stopped", request_id=request_id, path=error.path, reason=str(cause))
    elif is_unavailable(cause):
        log.warning("database_unavailable", request_id=request_id, reason=str(cause))
    else:
        log.error("unexpected_error", request_id=request_id, path=error.path, exc_info=cause)


def _named(error: FieldError, *prefix: str) -> FieldError:
    """Return the error with the API's name for its field; below that the path is the client's."""
    first, *rest = error.path
    name = to_camel_case(first) if isinstance(first, str) else first
    keys = (mask_words(step) if isinstance(step, str) else step for step in rest)
    return FieldError((*prefix, name, *keys), error.message)


def _without_values(message: str) -> str:
    """Return graphql-core's sentence without the client's own values: one may be a webhook URL."""
    lexeme = _LEXEME
    if len(message) > MAX_SENTENCE_CHARS:
        # At the end of a word: half of one may be half of a token.
        message = message[:MAX_SENTENCE_CHARS].rpartition(" ")[0]
        lexeme = _CUT_LEXEME
    shown = _FOUND.sub(lambda found: found["kind"] or "", lexeme.sub(r"\1", message))
    ends = shown == message or shown.endswith((".", "?"))
    return mask_words(shown if ends else f"{shown}.")


def _variable_fields(message: str, error: GraphQLError) -> list[FieldError]:
    """Return what is wrong with a variable, at the argument that it was given for."""
    match = _VARIABLE.fullmatch(message)
    if match is None:
        return []
    variable, path, reason = match.groups()
    steps = [int(index) if index else key for key, index in _STEP.findall(path or "")]
    operation = error.source.body if error.source is not None else ""
    # Bounded, because the text may be a megabyte made to be searched in vain again and again.
    argument = re.search(rf"\b(\w{{1,64}})\s{{0,9}}:\s{{0,9}}\${variable}\b", operation)
    return [FieldError((argument[1] if argument else variable, *steps), reason)]


def _summary(fields: Sequence[FieldError]) -> str:
    told = "; ".join(f"{_shown(field.path)}: {field.message}" for field in fields[:MAX_TOLD])
    return f"{told}; and {len(fields) - MAX_TOLD} more" if len(fields) > MAX_TOLD else told


def _shown(path: Sequence[str | int]) -> str:
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return shown.removeprefix(".")
