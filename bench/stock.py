"""The same schema on Strawberry's default settings: `python -m bench.stock DATABASE_URL`.

The types, the resolvers and their statements are the service's own. Everything around them is
Strawberry's: no memory of documents, no guard, no limits, no masking, its own view and JSON.
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

from engine.audit import Actor
from engine.catch_up import Accounting
from engine.cipher import WebhookCipher
from engine.engine import Engine, EngineOptions
from engine.limits import Budget, Rate
from engine.statistics import Statistics
from models.database import Database
from schema.context import OperationContext, Services
from schema.keys import Principal
from schema.loaders import Loaders
from schema.mutations import Mutation
from schema.queries import Query
from schema.scalars import SCALARS
from setting_types import KeyRole
from tests.conftest import make_service

ORIGIN = "https://discord.com"
ANYBODY = Principal(name="anybody", role=KeyRole.ADMIN)
OPTIONS = EngineOptions(
    roles=frozenset({"api"}),
    origins=(ORIGIN,),
    budget=Budget(origins=(), rate=Rate(count=50, seconds=1)),
    worker_concurrency=100,
    accounting=Accounting(fire_all_limit=100, run_deadline_seconds=3600),
    log_retention_days=30,
    shutdown_seconds=5.0,
)


class StockView(GraphQL[OperationContext, None]):
    """Strawberry's view; the resolvers' context is the one thing that it has to be given."""

    def __init__(self, schema: strawberry.Schema, services: Services) -> None:
        super().__init__(schema)
        self._services = services

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> OperationContext:
        """Return what the resolvers work with."""
        return make_context(self._services)


def stock_schema() -> strawberry.Schema:
    """Return the schema; only the scalars are ours, so that the answers are the same."""
    return strawberry.Schema(
        query=Query, mutation=Mutation, config=StrawberryConfig(scalar_map=SCALARS)
    )


def stock_app(database: Database) -> Starlette:
    """Return the application with nothing around the view."""
    return Starlette(routes=[Route("/graphql", StockView(stock_schema(), make_services(database)))])


def make_services(database: Database) -> Services:
    """Return the services behind the resolvers, with an engine that is not started."""
    cipher = WebhookCipher([Fernet.generate_key().decode()])
    engine = Engine(database, cipher, OPTIONS)
    return Services(
        database=database,
        tasks=make_service(cipher, ORIGIN, engine),
        engine=engine,
        statistics=Statistics(database),
    )


def make_context(services: Services) -> OperationContext:
    """Return the context of one operation."""
    return OperationContext(
        principal=ANYBODY,
        actor=Actor(name=ANYBODY.name),
        services=services,
        loaders=Loaders(services.database),
    )


async def serve(database_url: str) -> None:
    """Serve the API on a free port, print its address, and end by a signal."""
    database = await Database.connect(database_url)
    config = uvicorn.Config(
        stock_app(database), port=0, lifespan="off", log_config=None, access_log=False
    )
    listener = config.bind_socket()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])
    await database.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
