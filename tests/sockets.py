"""A client of WS /graphql that speaks the protocol word by word."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.serving import as_admin

PROTOCOL = "graphql-transport-ws"
WAIT_SECONDS = 10.0


class Socket:
    """One socket; `receive` is None when it is closed, and `code` then tells how."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    @property
    def code(self) -> int | None:
        """With what the other side closed."""
        return self.connection.close_code

    async def send(self, kind: str, **fields: object) -> None:
        """Send a message of the protocol."""
        await self.connection.send(orjson.dumps({"type": kind, **fields}).decode())

    async def receive(self) -> Any:
        """Return the next message."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return orjson.loads(await self.connection.recv())
        except ConnectionClosed:
            return None

    async def init(self, payload: object = None) -> Any:
        """Introduce oneself, as the admin unless told otherwise; return what is said to it."""
        await self.send("connection_init", payload=as_admin() if payload is None else payload)
        return await self.receive()

    async def subscribe(
        self, query: str, variables: Mapping[str, object] | None = None, *, name: str = "1"
    ) -> None:
        """Start an operation."""
        await self.send("subscribe", id=name, payload={"query": query, "variables": variables})

    async def run(self, query: str, **variables: object) -> Any:
        """Run an operation that has one answer; return that message."""
        await self.subscribe(query, variables, name="run")
        answer = await self.receive()
        if answer["type"] == "next":
            assert (await self.receive())["type"] == "complete"
        return answer


@asynccontextmanager
async def open_socket(
    url: str, *, headers: Mapping[str, str] | None = None, protocol: str = PROTOCOL, **options: Any
) -> AsyncIterator[Socket]:
    """Open a socket to the service at `url`; `options` are those of websockets' connect."""
    address = f"{url.replace('http', 'ws', 1)}/graphql"
    async with connect(
        address,
        additional_headers=headers,
        subprotocols=[Subprotocol(protocol)],
        compression=None,
        **options,
    ) as connection:
        yield Socket(connection)


def codes_of(message: Any) -> list[str]:
    """Return the codes of the errors in a `next` or `error` message."""
    payload = message["payload"]
    errors = payload if message["type"] == "error" else payload["errors"]
    return [error["extensions"]["code"] for error in errors]
