"""POST /graphql: GraphQL over HTTP, for those who have a key."""

from collections.abc import Mapping
from typing import Final, TypeVar

import orjson
import structlog
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult

from engine.audit import Actor
from schema.context import OperationContext, Services
from schema.errors import (
    MAX_ANSWER_BYTES,
    ErrorCode,
    answer_too_long,
    api_error,
    no_such_operation,
)
from schema.keys import KeyRing, Principal
from schema.loaders import Loaders
from schema.operations import OTHER, note_outcome
from schema.schema import ServiceSchema
from web.answers import JSON_TYPE, json_answer, refusal
from web.rate_limits import ClientLimits, refused_key
from web.requests import (
    GRAPHQL_TYPE,
    authenticate,
    client_address,
    graphql_media_type,
    request_id,
)

T = TypeVar("T")

NOT_BY_POST: Final = "Subscriptions come over a websocket at this address: graphql-transport-ws."

# The statuses of errors that kept the operation from running, in both media types.
_STATUSES: Final = {
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.QUERY_TOO_COMPLEX: 400,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
}


class BadRequest(Exception):
    """The request has no operation that could be executed; the message is fit for a user."""


class GraphQLView:
    """Takes one operation by POST and answers it, with GraphQL over HTTP's statuses."""

    def __init__(
        self, schema: ServiceSchema, *, keys: KeyRing, limits: ClientLimits, services: Services
    ) -> None:
        self._schema = schema
        self._keys = keys
        self._limits = limits
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a POST; who has no key is refused before the body is read."""
        request = Request(scope, receive)
        media_type = graphql_media_type(request.headers.get("Accept"))
        principal = authenticate(self._keys, request)
        if principal is None:
            response = await refused_key(self._limits, request, media_type)
        else:
            try:
                answer = await self._answer(request, self._context(request, principal))
                response = _response(answer, media_type)
            except BadRequest as error:
                response = refusal(400, str(error), media_type=media_type)
        await response(scope, receive, send)

    def _context(self, request: Request, principal: Principal) -> OperationContext:
        actor = Actor(
            name=principal.name,
            ip=client_address(request.scope),
            request_id=request_id(request.scope),
        )
        return OperationContext(
            principal=principal,
            actor=actor,
            services=self._services,
            loaders=Loaders(self._services.database),
        )

    async def _answer(self, request: Request, context: OperationContext) -> dict[str, object]:
        """Execute; the wrong operation of a document is an error of GraphQL, not of HTTP.

        Raises: BadRequest.
        """
        body = await _body(request)
        try:
            result = await self._schema.execute(
                _member(body, "query", str),
                variable_values=_member(body, "variables", dict),
                context_value=context,
                # Source: GraphQL over HTTP, "GET": an empty name is none.
                operation_name=_member(body, "operationName", str) or None,
                operation_extensions=_member(body, "extensions", dict),
            )
        except MissingQueryError:
            raise BadRequest("No GraphQL query found in the request") from None
        except CannotGetOperationTypeError:
            return _refused(no_such_operation())
        except InvalidOperationTypeError:
            return _refused(api_error(ErrorCode.BAD_USER_INPUT, NOT_BY_POST))
        return _formatted(result)


async def _body(request: Request) -> Mapping[str, object]:
    """Return the object that the body is; no content type but JSON's is taken.

    A browser sends application/json to another origin only after asking, so no page can
    make its visitors' browsers change something here.
    """
    content_type = request.headers.get("Content-Type", "").partition(";")[0]
    if content_type.strip().lower() != JSON_TYPE:
        raise BadRequest(f"The content type must be {JSON_TYPE}.")
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise BadRequest("Unable to parse request body as JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object, one operation at a time.")
    return body


def _refused(error: GraphQLError) -> dict[str, object]:
    note_outcome(OTHER, ErrorCode.BAD_USER_INPUT, name=OTHER)
    return {"errors": [error.formatted]}


def _formatted(result: ExecutionResult) -> dict[str, object]:
    """Return the answer; without `data` when the operation did not run."""
    if not result.errors:
        return {"data": result.data}
    errors: list[object] = [error.formatted for error in result.errors]
    if result.data is None and all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"errors": errors, "data": result.data}


def _response(answer: Mapping[str, object], media_type: str) -> Response:
    """Return the answer in the negotiated media type with the status that belongs to it."""
    response = json_answer(answer, _status(answer, media_type), media_type=media_type)
    if len(response.body) <= MAX_ANSWER_BYTES:
        return response
    structlog.contextvars.bind_contextvars(outcome=ErrorCode.QUERY_TOO_COMPLEX.value)
    refused = {"errors": [answer_too_long().formatted]}
    return json_answer(refused, 400, media_type=media_type)


def _member(body: Mapping[str, object], name: str, kind: type[T]) -> T | None:
    value = body.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise BadRequest(f"{name} must be {'a string' if kind is str else 'an object'}, or null.")


def _status(answer: object, media_type: str) -> int:
    """Return the status.

    An operation that ran is 200, errors or not. One that could not is 200 in application/json,
    where anything else could come from a proxy, and 400 in the newer type, unless its code has a
    status of its own. Source: GraphQL over HTTP, "Status Codes"; it also allows 294 and 422 here,
    which fewer clients know.
    """
    if not isinstance(answer, dict) or "data" in answer:
        return 200
    for error in answer["errors"]:
        if own := _STATUSES.get(error["extensions"]["code"]):
            return own
    return 400 if media_type == GRAPHQL_TYPE else 200
