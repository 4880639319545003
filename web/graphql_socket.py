"""WS /graphql: graphql-transport-ws, for subscriptions and for every other operation."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import Final, Self

import orjson
import structlog
from graphql import GraphQLError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
    BaseGraphQLTransportWSHandler,
    Operation,
)
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)
from strawberry.types.unset import UnsetType
from structlog.contextvars import bind_contextvars

from engine.audit import Actor
from schema.context import OperationContext, Services
from schema.errors import MAX_ANSWER_BYTES, ErrorCode, answer_too_long, api_error
from schema.keys import KeyRing, presented_key
from schema.loaders import Loaders
from schema.operations import well_formed
from schema.schema import ServiceSchema
from web.answers import refusal
from web.rate_limits import ClientLimits, RateLimited
from web.requests import client_address, recognise, request_id
from web.socket_log import operation_line

MAX_OPERATIONS: Final = 10
INIT_SECONDS: Final = 10.0
# The outcome of an operation that was ended before its first answer.
UNANSWERED: Final = "unanswered"

log = structlog.get_logger(__name__)


class SocketAdapter(ASGIWebSocketAdapter):
    """Says in one way that the client is gone."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message; raises WebSocketDisconnected when that is no longer possible."""
        try:
            await super().send_json(message)
        # uvicorn closes by itself after a ping without an answer; it is a RuntimeError then.
        except RuntimeError as error:
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close, unless somebody else did, or the client is gone."""
        with suppress(RuntimeError, WebSocketDisconnect):
            await super().close(code, reason)


class SocketHandler(BaseGraphQLTransportWSHandler[OperationContext, None]):
    """One socket; each operation's context is the socket's with an id of its own.

    They share its loaders, which remember nothing.
    """

    view: "GraphQLSocket"
    websocket: SocketAdapter
    _lifetime: asyncio.Timeout
    _asked = 0

    async def handle(self) -> None:
        """Serve the socket until it is closed, or nothing can be sent over it."""
        try:
            async with asyncio.timeout(None) as self._lifetime:
                await super().handle()
        except TimeoutError:
            if not self._lifetime.expired():
                raise

    async def handle_message(self, message: Message) -> None:
        """Take one message; what breaks the protocol closes the socket."""
        if not _is_well_formed(message):
            await self.handle_invalid_message("Failed to parse message")
        elif message["type"] != "connection_init" and not self.connection_init_received:
            # The protocol would allow pings: nobody sends any before the introduction.
            await self.websocket.close(code=4401, reason="Unauthorized")
        else:
            await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Find out who it is: by the payload, else by the headers that the socket came with."""
        payload = message.get("payload")
        payload = {} if payload is None else payload
        if not self.connection_init_received:
            try:
                await self._authenticate(payload)
            except RateLimited as error:
                await self.websocket.close(code=4429, reason=str(error))
                return
        await super().handle_connection_init({**message, "payload": payload})

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Start an operation; too many at once are refused one by one."""
        if message["id"] in self.operations or len(self.operations) < MAX_OPERATIONS:
            await super().handle_subscribe(message)
        else:
            await self._refuse(message)

    async def run_operation(self, operation: Operation[OperationContext, None]) -> None:
        """Run an operation to its end; it counts like a request, and is logged like one."""
        own_id = self._next_id()
        # An empty name is none, as over HTTP.
        operation.operation_name = operation.operation_name or None
        with self._line(own_id, operation.operation_name, UNANSWERED):
            try:
                await self._admit()
            except RateLimited as error:
                bind_contextvars(outcome=ErrorCode.RATE_LIMITED)
                refused = api_error(ErrorCode.RATE_LIMITED, str(error))
                await operation.send_initial_errors([refused])
            else:
                await super(SocketHandler, self._as(own_id)).run_operation(operation)

    async def send_message(self, message: Message) -> None:
        """Send; when the client is gone, which BoundedSocket decides, so is the socket."""
        try:
            await super().send_message(message)
        except WebSocketDisconnected:
            if not self._lifetime.expired():
                self._lifetime.reschedule(asyncio.get_running_loop().time())
            raise

    async def handle_task_exception(self, error: Exception) -> None:
        """Log what nobody expected of an operation."""
        if not isinstance(error, WebSocketDisconnected):
            log.error("operation_failed", exc_info=error)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        # Strawberry would close the socket for a syntax error, with all its other operations.
        return None

    async def _authenticate(self, payload: Mapping[str, object]) -> None:
        scope = self.websocket.ws.scope
        texts = {name: text for name, text in payload.items() if isinstance(text, str)}
        given = presented_key(texts) or presented_key(self.websocket.ws.headers)
        principal = recognise(self.view.keys, given, scope)
        if principal is not None:
            actor = replace(self.context.actor, name=principal.name)
            self.context = replace(self.context, principal=principal, actor=actor)
        else:
            await self.view.limits.refuse_key(client_address(scope))

    async def _admit(self) -> None:
        await self.view.limits.admit(client_address(self.websocket.ws.scope))

    async def _refuse(self, message: SubscribeMessage) -> None:
        """Refuse an operation past MAX_OPERATIONS, which counts like a request all the same."""
        name = message["payload"].get("operationName") or None
        reason = f"A socket has at most {MAX_OPERATIONS} operations at once."
        with self._line(self._next_id(), name, ErrorCode.RATE_LIMITED):
            try:
                await self._admit()
            except RateLimited as error:
                reason = str(error)
            refused = api_error(ErrorCode.RATE_LIMITED, reason).formatted
            await self.send_message({"id": message["id"], "type": "error", "payload": [refused]})

    def _next_id(self) -> str:
        self._asked += 1
        return f"{self.context.actor.request_id}-{self._asked}"

    def _line(self, own_id: str, name: str | None, outcome: str) -> AbstractContextManager[None]:
        """Return what writes an operation's line; its outcome may become another meanwhile."""
        bound = {"request_id": own_id, "operation": well_formed(name), "outcome": outcome}
        return operation_line(self.context.actor.ip, **bound)

    def _as(self, own_id: str) -> Self:
        """Return this handler for one operation, whose errors and audit rows have its own id."""
        handler = copy(self)
        handler.context = replace(
            self.context, actor=replace(self.context.actor, request_id=own_id)
        )
        return handler


class GraphQLSocket(GraphQL[OperationContext, None]):
    """Strawberry's view for websockets, with keys and with errors that all have a code."""

    graphql_transport_ws_handler_class = SocketHandler
    websocket_adapter_class = SocketAdapter

    def __init__(
        self,
        schema: ServiceSchema,
        *,
        keys: KeyRing,
        limits: ClientLimits,
        services: Services,
        allowed_origins: Sequence[str] = (),
        init_seconds: float = INIT_SECONDS,
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=timedelta(seconds=init_seconds),
            max_subscriptions_per_connection=None,
            allowed_origins=allowed_origins,
        )
        self.keys = keys
        self.limits = limits
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a socket; its key comes with the first message at the latest."""
        nobody = Actor(name="nobody", ip=client_address(scope), request_id=request_id(scope))
        context = OperationContext(
            principal=None,
            actor=nobody,
            services=self._services,
            loaders=Loaders(self._services.database),
        )
        await self.run(WebSocket(scope, receive, send), context=context)

    async def on_ws_connect(self, context: OperationContext) -> UnsetType:
        """Let those in who have a key; the others' socket is closed with 4403."""
        if context.principal is None:
            raise ConnectionRejectionError
        return UnsetType()

    async def reject_websocket(self, request: WebSocket) -> WebSocket:
        """Refuse a page of an origin that is not allowed."""
        await request.send_denial_response(
            refusal(403, "Pages of this origin may not call the API: see ALLOWED_ORIGINS.")
        )
        return request

    def decode_json(self, data: str | bytes) -> object:
        """Decode with the fast library, whose error is a json.JSONDecodeError too."""
        return orjson.loads(data)

    def encode_json(self, data: object) -> str:
        """Encode as text: bytes would become a binary message. A message too long is an error."""
        encoded = orjson.dumps(data)
        if len(encoded) > MAX_ANSWER_BYTES and isinstance(data, Mapping):
            payload = {"data": None, "errors": [answer_too_long().formatted]}
            encoded = orjson.dumps({**data, "payload": payload})
        return encoded.decode()


def _is_well_formed(message: object) -> bool:
    match message:
        case {"type": "subscribe", "id": str(), "payload": {"query": str(), **rest}}:
            return all(
                rest.get(name) is None or isinstance(rest[name], kind)
                for name, kind in (("variables", dict), ("operationName", str))
            )
        case {"type": "complete", "id": str()}:
            return True
        case {"type": "connection_init", **rest}:
            return isinstance(rest.get("payload"), dict | None)
        case {"type": str() as kind}:
            return kind not in {"subscribe", "complete"}
    return False
