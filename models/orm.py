"""How connections to PostgreSQL are made: what asyncpg and the ORM take for a URL."""

import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import asyncpg
from tortoise.backends.base.config_generator import expand_db_url

MODEL_MODULES = [
    "models.task",
    "models.task_log",
    "models.audit_log",
    "models.log_counts",
    "models.runtime",
    "aerich.models",
]

# For every connection: no JIT, because it costs more than our statements, and a transaction that is
# left idle for 30 s is ended.
SERVER_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "application_name": "discord-task-scheduler",
        "timezone": "UTC",
        "jit": "off",
        "idle_in_transaction_session_timeout": "30000",
    }
)


class _Unreset(asyncpg.Connection):
    """A pooled connection that needs no query when it is given back.

    Nothing that the pool's users leave behind has to be undone: no cursors, no session locks, no
    settings. What is open of a transaction is rolled back all the same.
    """

    def get_reset_query(self) -> str:
        """Return no query."""
        return ""


def credentials(url: str) -> dict[str, Any]:
    """Return what `asyncpg.connect` takes for the database at `url`.

    Of libpq's options it knows `sslmode` and `sslrootcert`, which makes `require` a `verify-ca`, as
    in libpq. Raises: OSError when that file can't be read.
    """
    given = expand_db_url(url)["credentials"]
    given["ssl"] = given.pop("sslmode", given.get("ssl"))
    if root := given.get("sslrootcert"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = given["ssl"] == "verify-full"
        context.load_verify_locations(cafile=root)
        given["ssl"] = context
    known = ("host", "port", "user", "password", "database", "ssl")
    return {key: given[key] for key in known if given.get(key) is not None}


def tortoise_config(url: str, *, pool_size: int = 10) -> dict[str, Any]:
    """Return the ORM's configuration for the database at `url` (postgres:// or postgresql://)."""
    pool = {
        **credentials(url),
        # No floor: asyncpg would fill the log with tracebacks while the server is away.
        "minsize": 0,
        "maxsize": pool_size,
        "statement_cache_size": 256,
        "command_timeout": 30.0,
        "max_inactive_connection_lifetime": 300.0,
        "application_name": SERVER_SETTINGS["application_name"],
        "server_settings": dict(SERVER_SETTINGS),
        "connection_class": _Unreset,
    }
    return {
        "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": pool}},
        "use_tz": True,
        "timezone": "UTC",
        "apps": {"models": {"models": MODEL_MODULES, "default_connection": "default"}},
    }


# For aerich's command line, which needs a name to import; it never connects with it.
TORTOISE_ORM = tortoise_config("postgres://postgres@localhost/task_scheduler")
