"""The same schema on Strawberry's default settings: `python -m bench.stock DATABASE_URL`.

The types, the resolvers and the database's statements are the service's own. Everything around them
is Strawberry's: no cache of documents, no guard, no limits, no masking, its own view and JSON.
"""

import sys

import strawberry
import uvicorn
import uvloop
from cryptography.fernet import Fernet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig

from bench.burst import bench_options
from engine.audit import Actor
from engine.catch_up import Accounting
from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.service import TaskService
from engine.statistics import Statistics
from engine.validation import TaskRules
from models.database import Database
from schema.context import OperationContext, Services
from schema.keys import Principal
from schema.loaders import Loaders
from schema.mutations import Mutation
from schema.queries import Query
from schema.scalars import SCALARS
from setting_types import KeyRole

ORIGIN = "https://discord.com"
ANYBODY = Principal(name="anybody", role=KeyRole.ADMIN)


class StockView(GraphQL[OperationContext, None]):
    """Strawberry's view; the resolvers' context is the one thing that it has to be given."""

    def __init__(self, schema: strawberry.Schema, services: Services) -> None:
        super().__init__(schema)
        self._services = services

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> OperationContext:
        """Return what the resolvers work with."""
        return OperationContext(
            principal=ANYBODY,
            actor=Actor(name=ANYBODY.name),
            services=self._services,
            loaders=Loaders(self._services.database),
        )


async def serve(database_url: str) -> None:
    """Serve the API on a free port, print it, and end by a signal."""
    database = await Database.connect(database_url)
    schema = strawberry.Schema(
        query=Query, mutation=Mutation, config=StrawberryConfig(scalar_map=SCALARS)
    )
    app = Starlette(routes=[Route("/graphql", StockView(schema, _services(database)))])
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await server.serve(sockets=[listener])
    await database.close()


def _services(database: Database) -> Services:
    cipher = WebhookCipher([Fernet.generate_key().decode()])
    engine = Engine(database, cipher, bench_options(ORIGIN))
    service = TaskService(
        cipher,
        TaskRules(origins=(ORIGIN,), min_interval_seconds=1),
        accounting=Accounting(fire_all_limit=100, run_deadline_seconds=3600),
        applied=engine.applied,
        reloaded=engine.reloaded,
        queued=engine.queued,
    )
    return Services(
        database=database, tasks=service, engine=engine, statistics=Statistics(database)
    )


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
