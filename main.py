"""The service's entry point: `python main.py serve | worker | migrate | check | rotate-keys`."""

import argparse
import asyncio
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import structlog
import uvloop
from cryptography.fernet import Fernet
from pydantic import SecretStr
from starlette.applications import Starlette

from engine.cache import cache_of
from engine.catch_up import Accounting
from engine.cipher import WebhookCipher, check_canary
from engine.collector import calm_collector
from engine.discord import budget_origin
from engine.engine import Engine, EngineOptions
from engine.errors import EngineError
from engine.kept_secret import kept_secret
from engine.limits import Budget, parse_rate
from engine.logs import configure_logging
from engine.rotation import KeyRotation
from engine.service import TaskService
from engine.signals import until_signalled
from engine.statistics import Statistics
from engine.validation import TaskRules
from models.database import Database
from models.errors import MigrationFailed, StorageError
from models.migrate import migrate, pending_migrations
from models.server import database_server
from schema.keys import KeyRing
from setting_types import ApiKey, KeyRole
from settings import LogFormat, Role, Settings, SettingsError, load_settings
from web.app import create_app
from web.rate_limits import ClientLimits
from web.server import http_server

COMMANDS = {
    "serve": "run the parts named in ROLES: the API, the scheduler, the worker",
    "worker": "run the scheduler and the worker, without the API",
    "migrate": "bring the database's tables to this version, and end",
    "check": "check the settings and the connections, say what is wrong, and end",
    "rotate-keys": "encrypt all webhook URLs anew with the first of ENCRYPTION_KEYS, and end",
}

log = structlog.get_logger("main")


def main() -> int:
    """Run the command line; return 0, 2 for wrong settings or 1 for anything else in the way.

    A signal before the service runs, or to another command, is 128 and its number.
    """
    parser = argparse.ArgumentParser(
        description="Posts Discord webhooks on cron schedules, managed through GraphQL.",
        epilog="Settings come from the environment and from .env; .env.example lists them all.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, explanation in COMMANDS.items():
        commands.add_parser(name, help=explanation, description=f"{name}: {explanation}.")
    command = parser.parse_args().command
    try:
        settings = load_settings()
        if command == "worker":
            settings = settings.model_copy(
                update={"roles": frozenset({Role.SCHEDULER, Role.WORKER})}
            )
        configure_logging(level=settings.log_level, as_json=settings.log_format is LogFormat.JSON)
        runs = {"migrate": _migrate, "check": _check, "rotate-keys": _rotate_keys}
        run = runs.get(command, _serve)
        return uvloop.run(until_signalled(run(settings)))
    except SettingsError as error:
        print(f"The settings are wrong:\n{error}", file=sys.stderr)
        return 2
    except (StorageError, EngineError, OSError) as error:
        print(f"{command} failed: {error}", file=sys.stderr)
        return 1


async def _migrate(settings: Settings) -> int:
    async with _database_server(settings) as (url, _):
        applied = await migrate(url)
    print(f"Applied: {', '.join(applied)}" if applied else "The database is up to date.")
    return 0


async def _check(settings: Settings) -> int:
    print("ok    settings")
    async with _database_server(settings) as (url, _):
        pending = await pending_migrations(url)
        print("ok    database")
        if pending:
            print(f"wait  migrations: {len(pending)} to apply; the next start or `migrate` does")
            return 0
        print("ok    migrations")
        database = await Database.connect(url)
        try:
            await check_canary(database, _cipher(settings))
        finally:
            await database.close()
        print("ok    encryption keys")
    return 0


async def _rotate_keys(settings: Settings) -> int:
    def tell(done: int, of: int) -> None:
        print(f"{done} of {of} encrypted anew", flush=True)

    async with _database_server(settings) as (url, _):
        if pending := await pending_migrations(url):
            raise MigrationFailed(f"{len(pending)} migrations are to apply first: run `migrate`")
        database = await Database.connect(url)
        try:
            cipher = _cipher(settings)
            await check_canary(database, cipher)
            done = await KeyRotation(database, cipher).run(tell)
        finally:
            await database.close()
    print(
        f"The first of ENCRYPTION_KEYS encrypts all {done.total} webhook URLs; "
        f"{done.rotated} of them were encrypted anew."
    )
    return 0


async def _serve(settings: Settings) -> int:
    with _listening_socket(settings) as listener:
        async with _database_server(settings) as (url, revive):
            await migrate(url)
            database = await Database.connect(
                url,
                pool_size=settings.db_pool_size,
                pool_timeout_seconds=settings.db_pool_timeout_seconds,
            )
            try:
                await _run(settings, database, listener, revive)
            finally:
                await database.close()
    log.info("stopped")
    return 0


async def _run(
    settings: Settings,
    database: Database,
    listener: socket.socket,
    revive: Callable[[], Awaitable[None]] | None,
) -> None:
    """Run the engine and the HTTP server until a signal; then drain, HTTP and engine at once."""
    cipher = _cipher(settings)
    await check_canary(database, cipher)
    cache = await cache_of(database, settings.redis_url)
    engine = Engine(
        database,
        cipher,
        _engine_options(settings),
        cache=cache,
        revive=revive,
        on_ready=calm_collector,
    )
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # A second signal changes nothing: what is open is finished.
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    limits = ClientLimits.of(settings)
    server = http_server(
        _app(settings, database, cipher, engine, limits),
        root_path=settings.root_path,
        max_message_bytes=settings.max_body_bytes,
    )
    # Once now, or it walks over the jobs time and again while they are loaded.
    calm_collector()
    await engine.start()
    try:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        _announce(settings, listener)
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        log.info("stopping", drain_seconds=settings.shutdown_seconds)
        server.should_exit = True
    finally:
        await engine.stop()
    await serving
    await limits.aclose()


def _app(
    settings: Settings,
    database: Database,
    cipher: WebhookCipher,
    engine: Engine,
    limits: ClientLimits,
) -> Starlette:
    service = TaskService(
        cipher,
        TaskRules(
            origins=settings.discord_origins, min_interval_seconds=settings.min_interval_seconds
        ),
        accounting=_accounting(settings),
        applied=engine.applied,
        reloaded=engine.reloaded,
        queued=engine.queued,
    )
    return create_app(
        settings,
        keys=KeyRing(_access_keys(settings)),
        database=database,
        tasks=service,
        engine=engine,
        statistics=Statistics(database, engine.cache, clock=engine.time),
        limits=limits,
    )


def _engine_options(settings: Settings) -> EngineOptions:
    origins = {budget_origin(origin) for origin in settings.global_rate_origins}
    return EngineOptions(
        roles=frozenset(role.value for role in settings.roles),
        origins=settings.discord_origins,
        budget=Budget(origins=tuple(sorted(origins)), rate=parse_rate(settings.global_rate)),
        worker_concurrency=settings.worker_concurrency,
        accounting=_accounting(settings),
        log_retention_days=settings.log_retention_days,
        shutdown_seconds=settings.shutdown_seconds,
    )


def _accounting(settings: Settings) -> Accounting:
    return Accounting(
        fire_all_limit=settings.fire_all_limit,
        run_deadline_seconds=settings.run_deadline_seconds,
    )


def _listening_socket(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        place = f"HOST={settings.host} PORT={settings.port}"
        raise OSError(f"can't listen on {place}: {error.strerror}") from None


def _database_server(
    settings: Settings,
) -> AbstractAsyncContextManager[tuple[str, Callable[[], Awaitable[None]] | None]]:
    url = settings.database_url
    return database_server(url.get_secret_value() if url else None, settings.data_dir)


def _cipher(settings: Settings) -> WebhookCipher:
    keys = [key.get_secret_value() for key in settings.encryption_keys]
    if not keys:
        made, _ = kept_secret(settings.data_dir / "encryption_key", Fernet.generate_key().decode)
        keys = [made]
    return WebhookCipher(keys)


def _access_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """Return the configured keys; in development without any, one that is made and kept."""
    if settings.access_keys:
        return settings.access_keys
    path = settings.data_dir / "api_key"
    key, is_new = kept_secret(path, partial(secrets.token_urlsafe, 32))
    if is_new:
        print(f"Your API key, made now and kept in {path}: {key}", flush=True)
    return (ApiKey(name="default", key=SecretStr(key), role=KeyRole.ADMIN),)


def _announce(settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    roles = ",".join(sorted(settings.roles))
    where = "DATABASE_URL" if settings.database_url else f"embedded in {settings.data_dir}"
    log.info("started", roles=roles, address=f"{shown}:{port}", database=where)
    if Role.API in settings.roles and settings.graphiql:
        url = f"http://{shown}:{port}/graphql"
        if settings.log_format is LogFormat.JSON:
            log.info("graphiql", url=url)
        else:
            print(f"GraphiQL: {url}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
