"""POST /graphql: GraphQL over HTTP, for those who have a key."""

from collections.abc import Mapping
from typing import Final, TypeVar

import orjson
import structlog
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.http.parse_content_type import parse_content_type
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


class GraphQLView(GraphQL[OperationContext, None]):
    """Strawberry's view, with keys checked first and GraphQL over HTTP's statuses."""

    def __init__(
        self, schema: ServiceSchema, *, keys: KeyRing, limits: ClientLimits, services: Services
    ) -> None:
        super().__init__(
            schema, graphql_ide=None, allow_queries_via_get=False, subscription_protocols=()
        )
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
                response = await self.run(request, context=self._context(request, principal))
            except HTTPException as error:
                response = refusal(error.status_code, error.reason, media_type=media_type)
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

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """Return what carries the media type to `create_response`."""
        return Response(media_type=graphql_media_type(request.headers.get("Accept")))

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """Return the operation of a JSON body; no other content type is taken.

        A browser sends application/json to another origin only after asking, so no page can
        make its visitors' browsers change something here.
        """
        content_type, _ = parse_content_type(request.content_type or "")
        if content_type.lower() != JSON_TYPE:
            raise HTTPException(400, f"The content type must be {JSON_TYPE}.")
        body = self.parse_json(await request.get_body())
        return GraphQLRequestData(
            query=_member(body, "query", str),
            variables=_member(body, "variables", dict),
            # Source: GraphQL over HTTP, "GET": an empty name is none.
            operation_name=_member(body, "operationName", str) or None,
            extensions=_member(body, "extensions", dict),
        )

    def parse_json(self, data: str | bytes) -> dict[str, object]:
        """Return the object that a body is made of."""
        parsed = super().parse_json(data)
        if not isinstance(parsed, dict):
            raise HTTPException(400, "The body must be a JSON object, one operation at a time.")
        return parsed

    def decode_json(self, data: str | bytes) -> object:
        """Decode with the fast library, whose error is a json.JSONDecodeError too."""
        return orjson.loads(data)

    async def execute_single(  # noqa: PLR0917 - the order is Strawberry's
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: OperationContext,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        """Execute; the wrong operation of a document is an error of GraphQL, not of HTTP."""
        try:
            return await super().execute_single(
                request, request_adapter, sub_response, context, root_value, request_data
            )
        except HTTPException as error:
            match error.__cause__:
                case CannotGetOperationTypeError():
                    refused = no_such_operation()
                case InvalidOperationTypeError():
                    refused = api_error(ErrorCode.BAD_USER_INPUT, NOT_BY_POST)
                case _:
                    raise
            note_outcome(OTHER, ErrorCode.BAD_USER_INPUT, name=OTHER)
            return ExecutionResult(data=None, errors=[refused])

    async def process_result(
        self, request: Request, result: ExecutionResult
    ) -> GraphQLHTTPResponse:
        """Return the answer; without `data` when the operation did not run."""
        if not result.errors:
            return {"data": result.data}
        errors: list[object] = [error.formatted for error in result.errors]
        if result.data is None and all(error.path is None for error in result.errors):
            return {"errors": errors}
        return {"errors": errors, "data": result.data}

    def create_response(
        self,
        response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse],
        sub_response: Response,
    ) -> Response:
        """Return the answer in the negotiated media type with the status that belongs to it."""
        media_type = sub_response.media_type or JSON_TYPE
        status = _status(response_data, media_type)
        response = json_answer(response_data, status, media_type=media_type)
        if len(response.body) <= MAX_ANSWER_BYTES:
            return response
        structlog.contextvars.bind_contextvars(outcome=ErrorCode.QUERY_TOO_COMPLEX.value)
        refused = {"errors": [answer_too_long().formatted]}
        return json_answer(refused, 400, media_type=media_type)


def _member(body: Mapping[str, object], name: str, kind: type[T]) -> T | None:
    value = body.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise HTTPException(
        400, f"{name} must be {'a string' if kind is str else 'an object'}, or null."
    )


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
