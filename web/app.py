"""The application: every path that there is, and what all of them have in common."""

from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute

from engine.engine import Engine
from engine.gauges import Gauges
from engine.service import TaskService
from engine.statistics import Statistics
from models.database import Database
from schema.context import Services, utc_now
from schema.keys import KeyRing
from schema.schema import build_schema
from settings import Environment, Role, Settings
from web.answers import refusal
from web.graphiql import GraphiQL
from web.graphql import GraphQLView
from web.graphql_socket import GraphQLSocket
from web.headers import SecurityHeaders
from web.health import Health
from web.hits import RATE_LIMIT_HEADERS
from web.metrics import Metrics
from web.middleware import BodyLimit, InternalErrors, RequestLog
from web.proxies import Proxies
from web.rate_limits import ClientLimits, RateLimit
from web.security_txt import SecurityTxt
from web.socket_log import SocketLog

# How long a browser may remember what it may ask for.
PREFLIGHT_SECONDS: Final = 7200
# Orchestrators ask for these, and must never be told to come back later.
HEALTH_PATHS: Final = ("/health", "/health/live")

log = structlog.get_logger(__name__)


def create_app(
    settings: Settings,
    *,
    keys: KeyRing,
    database: Database,
    tasks: TaskService,
    engine: Engine,
    statistics: Statistics,
    limits: ClientLimits,
) -> Starlette:
    """Return the application; without the API's role it shows health and metrics only."""
    services = Services(database=database, tasks=tasks, engine=engine, statistics=statistics)
    health = Health(engine)
    app = Starlette(
        routes=[
            Route("/health/live", health.live),
            Route("/health", health.ready),
            Route("/metrics", Metrics(keys, limits, Gauges(database, engine)).page),
            Route("/.well-known/security.txt", _security_txt(settings).page),
            *(_api_routes(settings, keys, services, limits) if Role.API in settings.roles else ()),
        ],
        middleware=_middleware(settings, limits),
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


def _middleware(settings: Settings, limits: ClientLimits) -> list[Middleware]:
    """Return what is around every request, the outermost first.

    A line in the log needs the real client, and every answer needs the headers, also the one to an
    error: without those of CORS a page could not read it. Preflights are answered uncounted.
    """
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["X-API-Key", "Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After", *RATE_LIMIT_HEADERS],
        max_age=PREFLIGHT_SECONDS,
    )
    return [
        Middleware(Proxies, trusted=settings.trusted_proxies),
        Middleware(RequestLog),
        Middleware(SocketLog),
        Middleware(SecurityHeaders),
        *([cors] if settings.allowed_origins else []),
        Middleware(InternalErrors),
        Middleware(BodyLimit, max_body_bytes=settings.max_body_bytes),
        Middleware(RateLimit, limits=limits, exempt=HEALTH_PATHS),
    ]


def _security_txt(settings: Settings) -> SecurityTxt:
    default = Settings.model_fields["security_contact"].default
    if settings.environment is Environment.PRODUCTION and settings.security_contact == default:
        log.warning("security_contact_is_default", SECURITY_CONTACT=default)
    now, expires = utc_now(), settings.security_expires
    if expires is not None and expires <= now:
        # No reason to stop: a restart years later must find the service willing.
        log.warning("security_expires_is_over", SECURITY_EXPIRES=expires.isoformat())
        expires = None
    return SecurityTxt(contact=settings.security_contact, expires=expires, started_at=now)


def _api_routes(
    settings: Settings, keys: KeyRing, services: Services, limits: ClientLimits
) -> list[BaseRoute]:
    schema = build_schema(introspection=settings.introspection)
    view = GraphQLView(schema, keys=keys, limits=limits, services=services)
    socket = GraphQLSocket(
        schema,
        keys=keys,
        limits=limits,
        services=services,
        allowed_origins=settings.allowed_origins,
    )
    routes = [
        Route("/graphql", view, methods=["POST"]),
        WebSocketRoute("/graphql", socket),
    ]
    if not settings.graphiql:
        return [*routes, Route("/graphql", _not_found)]
    graphiql = GraphiQL()
    return [
        *routes,
        Route("/graphql", graphiql.page),
        Route("/graphql/assets/{name}", graphiql.asset),
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
