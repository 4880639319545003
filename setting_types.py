"""What the values of settings are: keys, addresses, origins and rates, parsed and checked.

A reason that a check gives never holds the value: it may be a secret.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from cryptography.fernet import Fernet
from dotenv import dotenv_values
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, SecretStr, StringConstraints
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

DISCORD_ORIGINS = (
    "https://discord.com",
    "https://discordapp.com",
    "https://ptb.discord.com",
    "https://canary.discord.com",
)
MAKE_ENCRYPTION_KEY = (
    ".venv/bin/python -c "
    "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"
)

ENGINE_ACTOR = "engine"
"""What the audit log calls the service itself; no key may have this name."""

MIN_PRODUCTION_KEY_CHARS = 24
MIN_DIFFERENT_CHARS = 8
"""A random key of 24 hexadecimal digits has fewer once in 40,000 times."""

# Words of examples. The short ones only where no letter is beside them: in random text any four
# letters come up once in 25,000 keys.
_EXAMPLE = re.compile(
    r"change.?me|example|placeholder|password|secret|api.?key|your.?key|[<>]"
    r"|(?<![a-z])(?:test|demo)(?![a-z])",
    re.IGNORECASE,
)

# The options of a URL that mean the same to both users of Redis, the cache and the limits.
# Source: redis-py, URL_QUERY_ARGUMENT_PARSERS and SSLConnection.
_REDIS_OPTIONS = frozenset(
    {
        "client_name",
        "db",
        "health_check_interval",
        "max_connections",
        "protocol",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_keyfile",
        "timeout",
    }
)

# The options of a URL that the driver and the ORM are given. Source: models/orm.py.
_POSTGRES_OPTIONS = frozenset({"host", "password", "port", "ssl", "sslmode", "sslrootcert", "user"})
_VERIFYING_MODES = ("require", "verify-ca", "verify-full")
_SSL_MODES = ("disable", "allow", "prefer", *_VERIFYING_MODES)

_OWN_PORTS = {"http": 80, "https": 443}

_KEY = re.compile(r"[!-+\--9;-~]+")  # printable ASCII without blank, comma and colon
_ORIGIN = r"(?i)^https?://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?$"


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [item.strip() for item in value.split(",") if item.strip()]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _plain_key(key: SecretStr) -> SecretStr:
    """Return a key that fits a header and API_KEYS. Raises: ValueError."""
    if not _KEY.fullmatch(key.get_secret_value()):
        raise ValueError("it has a blank, a comma, a colon or a character that isn't ASCII")
    return key


class KeyRole(StrEnum):
    """What an API key permits: everything, or reading only."""

    ADMIN = "admin"
    READ = "read"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key of the API; `name` stands for it in logs and audit rows."""

    name: str
    key: SecretStr
    role: KeyRole


def _named_key(value: object) -> object:
    if not isinstance(value, str):
        return value
    name, _, rest = value.partition(":")
    key, _, role = rest.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,50}", name) or role not in list(KeyRole):
        raise ValueError("an entry isn't name:key:admin or name:key:read")
    if name.lower() == ENGINE_ACTOR:
        raise ValueError(f"{name} is the audit log's name for the service itself")
    return ApiKey(name=name, key=_plain_key(SecretStr(key)), role=KeyRole(role))


def _fernet_key(key: SecretStr) -> SecretStr:
    try:
        Fernet(key.get_secret_value())
    except ValueError:
        raise ValueError(f"one isn't a Fernet key; this makes one: {MAKE_ENCRYPTION_KEY}") from None
    return key


def _begins_with(*schemes: str) -> Callable[[SecretStr], SecretStr]:
    def check(url: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(url.get_secret_value())
            scheme, _ = parts.scheme, parts.port
            (parts.hostname or "").encode("idna")  # as it is looked up
        except ValueError:  # its message may hold the password
            raise ValueError("it is no URL; a password's / is %2F, its @ %40, its : %3A") from None
        if scheme not in schemes:
            raise ValueError(f"it doesn't begin with {' or '.join(f'{s}://' for s in schemes)}")
        return url

    return check


def _options(url: str, known: frozenset[str]) -> dict[str, str]:
    """Return the options of a URL, of which all must be known. Raises: ValueError."""
    options = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    if options.keys() - known:
        # An unknown name isn't told: it may be a part of a password with a bare ? in it.
        raise ValueError(f"an option after ? is unknown; known are {', '.join(sorted(known))}")
    return options


def _postgres_options(url: SecretStr) -> SecretStr:
    """Return a URL whose options all take effect. Raises: ValueError."""
    options = _options(url.get_secret_value(), _POSTGRES_OPTIONS)
    mode, root = options.get("sslmode"), options.get("sslrootcert")
    if mode is not None and mode not in _SSL_MODES:
        raise ValueError(f"its sslmode is none of {', '.join(_SSL_MODES)}")
    if root is not None and mode not in _VERIFYING_MODES:
        raise ValueError(f"its sslrootcert needs an sslmode of {', '.join(_VERIFYING_MODES)}")
    if root is not None and not _holds_certificates(root):
        raise ValueError("its sslrootcert is no file of certificates that can be read")
    if not re.fullmatch(r"[0-9]{1,5}", options.get("port", "5432")):
        raise ValueError("its port is no number")
    return url


def _holds_certificates(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError:
        return False
    return True


def _redis_options(url: SecretStr) -> SecretStr:
    """Return a URL of which a connection can be made; none is opened. Raises: ValueError."""
    text = url.get_secret_value()
    _options(text, _REDIS_OPTIONS)
    try:
        BlockingConnectionPool.from_url(text).make_connection()  # type: ignore[no-untyped-call] # redis has no type for it
    except (TypeError, ValueError, RedisError):  # their messages may hold a value
        raise ValueError("an option after ? has a wrong value, or needs rediss://") from None
    return url


def _origin(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        _ = parts.port
        if "[" in origin:
            ip_address(parts.hostname or "")
    except ValueError:
        raise ValueError("its port is above 65535, or its address isn't one") from None
    return origin


def _as_browsers_say(origin: str) -> str:
    """Return a checked origin without its scheme's own port, which browsers leave out."""
    parts = urlsplit(origin)
    return origin.rpartition(":")[0] if parts.port == _OWN_PORTS[parts.scheme] else origin


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("there is no such user, or it has no home") from None


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it is outside the years 1 to 9999") from None


def _network(value: object) -> object:
    """Return the network of an address, such as 10.0.0.0/8 or 127.0.0.1."""
    return ip_network(value, strict=False) if isinstance(value, str) else value


Split = BeforeValidator(_split)
"""Reads a comma-separated text."""
Upper = BeforeValidator(_upper)
"""Takes any case."""

Folder = Annotated[Path, AfterValidator(_expanded)]
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Origin = Annotated[str, StringConstraints(to_lower=True, pattern=_ORIGIN), AfterValidator(_origin)]
Rate = Annotated[
    str, StringConstraints(to_lower=True, pattern=r"(?i)^[1-9][0-9]{0,8}/(second|minute|hour)$")
]
PageOrigin = Annotated[Origin, AfterValidator(_as_browsers_say)]
FernetKey = Annotated[SecretStr, AfterValidator(_fernet_key)]
PlainKey = Annotated[SecretStr, AfterValidator(_plain_key)]
NamedKey = Annotated[ApiKey, BeforeValidator(_named_key)]
PostgresUrl = Annotated[
    SecretStr,
    AfterValidator(_begins_with("postgresql", "postgres")),
    AfterValidator(_postgres_options),
]
RedisUrl = Annotated[
    SecretStr, AfterValidator(_begins_with("redis", "rediss")), AfterValidator(_redis_options)
]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Contact = Annotated[
    str, StringConstraints(pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://\S+|tel:[+0-9-]+)$")
]


def is_weak(key: str) -> bool:
    """Return whether a key is short, has few different characters, or is an example's."""
    return (
        len(key) < MIN_PRODUCTION_KEY_CHARS
        or len(set(key)) < MIN_DIFFERENT_CHARS
        or _EXAMPLE.search(key) is not None
    )


def misspelt(env_file: Path | None, known: set[str]) -> list[str]:
    """Return a line for each name in the file that is nearly a known one; others aren't ours."""
    if env_file is None or not env_file.is_file():
        return []
    return [
        f"{name}: {env_file} has this unknown name; did you mean {near[0]}?"
        for name in dotenv_values(env_file)
        if name.upper() not in known
        and (near := get_close_matches(name.upper(), known, n=1, cutoff=0.8))
    ]
