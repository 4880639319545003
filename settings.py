"""Every setting of the service: its variable, default, unit and rules. It imports nothing of ours.

The sentence below a field says what its variable takes; messages, .env.example and the README's
table are made of it.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from setting_types import (
    DISCORD_ORIGINS,
    MAKE_ENCRYPTION_KEY,
    MIN_PRODUCTION_KEY_CHARS,
    ApiKey,
    Contact,
    FernetKey,
    Folder,
    Instant,
    KeyRole,
    NamedKey,
    Network,
    Origin,
    PageOrigin,
    PlainKey,
    PostgresUrl,
    Rate,
    RedisUrl,
    Split,
    Upper,
    is_weak,
    misspelt,
)

ROOT_DATA_DIR = Path("/var/lib/discord-task-scheduler")

_SECRETS = frozenset({"API_KEY", "API_KEYS", "DATABASE_URL", "ENCRYPTION_KEYS", "REDIS_URL"})
# In a value that was meant for another variable. Discord's tokens have 68 characters.
_TOKEN = re.compile(r"(webhooks\W)[^\s'\"]+|[\w-]{50,}")


class SettingsError(Exception):
    """The service can't start with these settings; the message has one line for each problem."""


class Environment(StrEnum):
    """How careful to be: production makes no keys by itself and takes no weak ones."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Role(StrEnum):
    """A part that a process can play."""

    API = "api"
    SCHEDULER = "scheduler"
    WORKER = "worker"


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    """Logs for people, or for machines."""

    CONSOLE = "console"
    JSON = "json"


def _data_dir() -> Path:
    as_root = sys.platform != "win32" and os.geteuid() == 0
    return ROOT_DATA_DIR if as_root else Path("./data")


def _log_format(earlier: dict[str, Any]) -> LogFormat:
    production = earlier.get("environment") is Environment.PRODUCTION
    return LogFormat.JSON if production else LogFormat.CONSOLE


class Settings(BaseSettings):
    """The settings, checked; made once by `load_settings` and passed down."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=str.upper,
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        enable_decoding=False,
        hide_input_in_errors=True,
    )

    environment: Environment = Environment.DEVELOPMENT
    """`development` or `production`, which takes no weak key and https only."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one."""
    port: int = Field(3005, ge=0, le=65535)
    """The port to listen on, 0 to 65535; 0 is any free one."""
    root_path: str = Field("", pattern=r"^(/[^/?#\s]+)*$")
    """The path under which a proxy shows the service, such as /api/task-scheduler."""
    roles: Annotated[frozenset[Role], Split] = Field(frozenset(Role), min_length=1)
    """What this process does: any of `api`, `scheduler` and `worker`, comma-separated."""

    data_dir: Folder = Field(default_factory=_data_dir)
    """For the embedded PostgreSQL and made keys; root: /var/lib/discord-task-scheduler."""
    database_url: PostgresUrl | None = None
    """A PostgreSQL 15 or newer, postgresql://user:password@host/name; unset: an embedded one."""
    db_pool_size: int = Field(10, ge=1, le=1000)
    """The most database connections of one process's pool, 1 to 1000; API reads take a third."""
    db_pool_timeout_seconds: int = Field(20, ge=1, le=300, alias="DB_POOL_TIMEOUT")
    """How long to wait for one of them, 1 to 300 seconds."""

    redis_url: RedisUrl | None = None
    """Redis for the cache and RATE_LIMIT of all copies, redis://host:port/0; unset: in memory."""

    encryption_keys: Annotated[tuple[FernetKey, ...], Split] = ()
    """Fernet keys for stored webhook URLs, comma-separated: the first encrypts, all decrypt."""
    api_key: PlainKey | None = None
    """The API's one admin key; in production at least 24 random characters."""
    api_keys: Annotated[tuple[NamedKey, ...], Split] = ()
    """More keys of the API, as name:key:admin or name:key:read, comma-separated."""
    max_body_bytes: int = Field(1_048_576, ge=1_024, le=104_857_600)
    """The longest request body, 1024 to 104857600 bytes."""
    graphiql: bool = True
    """Whether GET /graphql shows GraphiQL to browsers, on or off."""
    introspection: bool = True
    """Whether the API answers introspection to those with a key, on or off."""

    allowed_origins: Annotated[tuple[PageOrigin, ...], Split] = ()
    """Origins whose pages may call the API (CORS), comma-separated; unset: this one's alone."""
    trusted_proxies: Annotated[tuple[Network, ...], Split] = ()
    """Addresses of proxies whose X-Forwarded-For and -Proto count, as 10.0.0.0/8; unset: none."""
    rate_limit: Rate = "100/minute"
    """The most requests of one client address, a number per second, minute or hour."""
    failed_key_limit: Rate = "10/minute"
    """The most wrong keys of one client address, a number per second, minute or hour."""
    security_contact: Contact = "mailto:security@localhost"
    """For /.well-known/security.txt: mailto:, https: or tel: of who takes reports."""
    security_expires: Instant | None = None
    """When security.txt ends, as 2027-01-31T00:00:00Z; unset or over: a year after the start."""

    discord_origins: Annotated[tuple[Origin, ...], Split] = DISCORD_ORIGINS
    """Origins that a webhook URL may have, comma-separated; in production https:// only."""
    global_rate: Rate = "50/second"
    """The most requests each of GLOBAL_RATE_ORIGINS gets, a number per second, minute or hour."""
    global_rate_origins: Annotated[tuple[Origin, ...], Split] = DISCORD_ORIGINS
    """Origins that GLOBAL_RATE holds for, comma-separated; Discord's own four count as one."""
    worker_concurrency: int = Field(100, ge=1, le=10_000)
    """The most webhook requests that this process has open at once, 1 to 10000."""
    min_interval_seconds: int = Field(1, ge=1, le=86_400)
    """The shortest interval of a schedule, 1 to 86400 seconds."""
    run_deadline_seconds: int = Field(3_600, ge=1, le=604_800)
    """How long a run may wait and retry before it fails, 1 to 604800 seconds."""
    fire_all_limit: int = Field(100, ge=1, le=10_000)
    """The most missed ticks that FIRE_ALL makes up for, 1 to 10000."""
    shutdown_seconds: int = Field(20, ge=0, le=3_600)
    """How long open requests may take to finish on shutdown, 0 to 3600 seconds."""

    log_level: Annotated[LogLevel, Upper] = LogLevel.INFO
    """The least severe level that is logged: DEBUG, INFO, WARNING or ERROR."""
    log_format: LogFormat = Field(default_factory=_log_format)
    """`console` or `json`; unset: json in production."""
    log_retention_days: int = Field(30, ge=1, le=36_500)
    """How long task logs are kept, 1 to 36500 days."""

    @property
    def access_keys(self) -> tuple[ApiKey, ...]:
        """All keys of the API: API_KEY, called `default`, and API_KEYS."""
        if self.api_key is None:
            return self.api_keys
        return (ApiKey(name="default", key=self.api_key, role=KeyRole.ADMIN), *self.api_keys)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment as `load_settings` passes it, then the file."""
        return init_settings, dotenv_settings

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [*_general_problems(self)]
        if self.environment is Environment.PRODUCTION:
            problems += _production_problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self


def load_settings(
    env: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")
) -> Settings:
    """Read the settings from `env` (default: the process's environment), then from `env_file`.

    An empty value counts as unset. Raises: SettingsError, with every problem that was found.
    """
    given = os.environ if env is None else env
    known = {str(field.alias) for field in Settings.model_fields.values()}
    problems: list[str] = []
    values: dict[str, Any] = {name: given[name] for name in known if given.get(name)}
    try:
        problems += misspelt(env_file, known)
        settings = Settings(_env_file=env_file, **values)
    except ValidationError as error:
        problems += [line for detail in error.errors() for line in _lines(detail)]
    except UnicodeDecodeError:
        problems = [f"{env_file} isn't text in UTF-8"]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _general_problems(settings: Settings) -> Iterator[str]:
    keys = settings.access_keys
    if len({key.name for key in keys}) < len(keys):
        yield "API_KEYS: two have one name (API_KEY is called default); takes different names"
    if len({key.key.get_secret_value() for key in keys}) < len(keys):
        yield "API_KEYS: two are the same key; takes different keys"
    if settings.database_url and not settings.encryption_keys:
        yield f"ENCRYPTION_KEYS: got nothing; DATABASE_URL needs them: {MAKE_ENCRYPTION_KEY}"


def _production_problems(settings: Settings) -> Iterator[str]:
    if not settings.access_keys:
        yield "API_KEY: got nothing; production takes a key here or in API_KEYS"
    if not settings.encryption_keys and not settings.database_url:
        yield f"ENCRYPTION_KEYS: got nothing; production needs them: {MAKE_ENCRYPTION_KEY}"
    for access in settings.access_keys:
        if is_weak(access.key.get_secret_value()):
            yield (
                f"API_KEY or API_KEYS: the key called {access.name} is short, monotonous or an "
                f"example's; production takes {MIN_PRODUCTION_KEY_CHARS} random characters or more"
            )
    for origin in settings.discord_origins:
        if not origin.startswith("https://"):
            yield f"DISCORD_ORIGINS: got {origin!r}; production takes https:// only"


def _lines(detail: ErrorDetails) -> list[str]:
    """Return one problem as what the variable got, unless it is a secret, and what it takes."""
    reason = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else ""
    if not detail["loc"]:
        return reason.splitlines()
    if detail["type"] == "default_factory_not_called":  # only because another setting is wrong
        return []
    name = str(detail["loc"][0])
    takes = next(
        field.description for field in Settings.model_fields.values() if field.alias == name
    )
    got = "a secret" if name in _SECRETS else _TOKEN.sub(r"\1****", repr(detail["input"]))
    return [f"{name}: got {got}{reason and f' ({reason})'}; takes: {takes}"]
