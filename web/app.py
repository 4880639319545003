"""The application: every path that there is, and what all of them have in common."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from engine.engine import Engine
from engine.gauges import Gauges
from engine.service import TaskService
from engine.statistics import Statistics
from models.database import Database
from schema.context import Services
from schema.keys import KeyRing
from schema.schema import build_schema
from settings import Role, Settings
from web.answers import refusal
from web.graphiql import GraphiQL
from web.graphql import GraphQLView
from web.health import Health
from web.metrics import Metrics
from web.middleware import BodyLimit, RequestLog


def create_app(
    settings: Settings,
    *,
    keys: KeyRing,
    database: Database,
    tasks: TaskService,
    engine: Engine,
    statistics: Statistics,
) -> Starlette:
    """Return the application; without the API's role it shows health and metrics only."""
    services = Services(database=database, tasks=tasks, engine=engine, statistics=statistics)
    health = Health(engine)
    app = Starlette(
        routes=[
            Route("/health/live", health.live),
            Route("/health", health.ready),
            Route("/metrics", Metrics(keys, Gauges(database, engine)).page),
            *(_api_routes(settings, keys, services) if Role.API in settings.roles else ()),
        ],
        middleware=[
            Middleware(RequestLog),
            Middleware(BodyLimit, max_body_bytes=settings.max_body_bytes),
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


def _api_routes(settings: Settings, keys: KeyRing, services: Services) -> list[BaseRoute]:
    schema = build_schema(introspection=settings.introspection)
    view = GraphQLView(schema, keys=keys, services=services)
    routes = [Route("/graphql", view, methods=["POST"])]
    if not settings.graphiql:
        return [*routes, Route("/graphql", _not_found)]
    graphiql = GraphiQL()
    packed = [Middleware(GZipMiddleware)]
    return [
        *routes,
        Route("/graphql", graphiql.page),
        Route("/graphql/assets/{name}", graphiql.asset, middleware=packed),
    ]


async def _not_found(request: Request) -> Response:
    raise HTTPException(404)


async def _refused(request: Request, error: Exception) -> Response:
    """Answer an error of HTTP in JSON."""
    if not isinstance(error, HTTPException):
        raise TypeError("this handler is for errors of HTTP only") from error
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return refusal(error.status_code, error.detail, headers=headers)


def _methods(request: Request) -> set[str]:
    """Return the methods that any route takes at the request's path."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    there = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in there for method in route.methods or ()}
