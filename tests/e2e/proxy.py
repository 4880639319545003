"""A reverse proxy that shows the service below a prefix, which it strips, WebSockets included."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

PREFIX = "/api/task-scheduler"
# What belongs to one connection only; aiohttp has unpacked the body.
_HOP = {"connection", "content-encoding", "content-length", "host", "transfer-encoding"}


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[str]:
    """Serve `target` below PREFIX, and yield the URL with it; there is nothing beside it."""
    async with aiohttp.ClientSession() as http:

        async def forward(request: web.Request) -> web.StreamResponse:
            url = f"{target}{request.path_qs.removeprefix(PREFIX)}"
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await _forward_socket(http, request, url)
            kept = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
            body = await request.read()
            async with http.request(request.method, url, headers=kept, data=body) as answer:
                headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
                return web.Response(status=answer.status, headers=headers, body=await answer.read())

        app = web.Application()
        app.router.add_route("*", PREFIX + "/{path:.*}", forward)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{PREFIX}"
        finally:
            await runner.cleanup()


async def _forward_socket(
    http: aiohttp.ClientSession, request: web.Request, url: str
) -> web.WebSocketResponse:
    offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
    async with http.ws_connect(url, protocols=offered, origin=_origin(url)) as there:
        here = web.WebSocketResponse(protocols=[there.protocol] if there.protocol else [])
        await here.prepare(request)
        inward = asyncio.create_task(_pump(here, there))
        await _pump(there, here)
        await inward
        return here


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    target: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        await target.send_str(message.data)
    await target.close(code=source.close_code or 1000)


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])
