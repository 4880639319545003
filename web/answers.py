"""Answers in JSON; errors of HTTP have the same shape as those of GraphQL."""

from collections.abc import Mapping
from typing import Final

import orjson
from starlette.responses import Response

from schema.errors import ErrorCode, api_error

JSON_TYPE: Final = "application/json"

_CODES: Final[Mapping[int, ErrorCode]] = {
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
    429: ErrorCode.RATE_LIMITED,
    500: ErrorCode.INTERNAL_SERVER_ERROR,
}


def json_answer(
    content: object,
    status: int = 200,
    *,
    media_type: str = JSON_TYPE,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the content as JSON in UTF-8."""
    content_type = f"{media_type}; charset=utf-8"
    return Response(orjson.dumps(content), status, headers, media_type=content_type)


def refusal(
    status: int,
    message: str,
    *,
    media_type: str = JSON_TYPE,
    headers: Mapping[str, str] | None = None,
    request_id: str | None = None,
) -> Response:
    """Return an error with the code of its status, BAD_USER_INPUT if that has none."""
    code = _CODES.get(status, ErrorCode.BAD_USER_INPUT)
    error = api_error(code, message, request_id=request_id)
    return json_answer(
        {"errors": [error.formatted]}, status, media_type=media_type, headers=headers
    )


def unauthenticated(media_type: str = JSON_TYPE) -> Response:
    """Return the error for a missing or wrong API key."""
    return refusal(
        401,
        "The API key is missing or wrong: send it as X-API-Key, or as Authorization: Bearer.",
        media_type=media_type,
        headers={"WWW-Authenticate": "Bearer"},
    )
