"""Settings come from the environment and a file, are checked together, and never show a secret."""

import os
from base64 import urlsafe_b64encode
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from scripts.describe_settings import default_text, env_example, table
from setting_types import KeyRole, is_weak
from settings import (
    Environment,
    LogFormat,
    LogLevel,
    Role,
    Settings,
    SettingsError,
    load_settings,
)

KEY = urlsafe_b64encode(b"1" * 32).decode()
OTHER_KEY = urlsafe_b64encode(b"2" * 32).decode()
SAFE = "kJ3vQ9xT7mZ2pL5wR8nB4cF6"
PRODUCTION = {"ENVIRONMENT": "production", "ENCRYPTION_KEYS": KEY, "API_KEY": SAFE}

# Every setting with its default, as one would write it in .env.
DEFAULTS = {
    "ENVIRONMENT": "development",
    "HOST": "127.0.0.1",
    "PORT": "3005",
    "ROOT_PATH": "",
    "ROLES": "api,scheduler,worker",
    "DATA_DIR": "./data",
    "DATABASE_URL": "",
    "DB_POOL_SIZE": "10",
    "DB_POOL_TIMEOUT": "20",
    "REDIS_URL": "",
    "ENCRYPTION_KEYS": "",
    "API_KEY": "",
    "API_KEYS": "",
    "MAX_BODY_BYTES": "1048576",
    "GRAPHIQL": "on",
    "INTROSPECTION": "on",
    "ALLOWED_ORIGINS": "",
    "TRUSTED_PROXIES": "",
    "RATE_LIMIT": "100/minute",
    "FAILED_KEY_LIMIT": "10/minute",
    "SECURITY_CONTACT": "mailto:security@localhost",
    "SECURITY_EXPIRES": "",
    "DISCORD_ORIGINS": (
        "https://discord.com,https://discordapp.com,"
        "https://ptb.discord.com,https://canary.discord.com"
    ),
    "GLOBAL_RATE": "50/second",
    "GLOBAL_RATE_ORIGINS": (
        "https://discord.com,https://discordapp.com,"
        "https://ptb.discord.com,https://canary.discord.com"
    ),
    "WORKER_CONCURRENCY": "100",
    "MIN_INTERVAL_SECONDS": "1",
    "RUN_DEADLINE_SECONDS": "3600",
    "FIRE_ALL_LIMIT": "100",
    "SHUTDOWN_SECONDS": "20",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "console",
    "LOG_RETENTION_DAYS": "30",
}


def load(**env: str) -> Settings:
    return load_settings(env, env_file=None)


def problems(**env: str) -> list[str]:
    """Return the lines of the message that these settings are refused with."""
    with pytest.raises(SettingsError) as refused:
        load(**env)
    return str(refused.value).splitlines()


def test_every_setting_has_its_documented_name_and_default() -> None:
    fields = Settings.model_fields.values()

    assert {field.alias: default_text(field) for field in fields} == DEFAULTS


def test_writing_all_defaults_out_changes_nothing() -> None:
    written = load(**DEFAULTS | {"DATA_DIR": str(load().data_dir)})

    assert written == load()


def test_env_example_lists_every_setting_with_its_default() -> None:
    lines = Path(".env.example").read_text()

    assert lines == env_example()
    assert all(f"\n#{name}={default}\n" in lines for name, default in DEFAULTS.items())


def test_table_has_a_row_for_every_setting() -> None:
    rows = table().splitlines()[2:]

    assert [row.split("`")[1] for row in rows] == list(DEFAULTS)


def test_every_setting_says_in_one_sentence_what_it_takes() -> None:
    sentences = [field.description or "" for field in Settings.model_fields.values()]

    assert all(text.endswith(".") and "\n" not in text for text in sentences)


def test_data_dir_is_in_the_checkout_unless_root_runs_the_service() -> None:
    expected = "/var/lib/discord-task-scheduler" if os.geteuid() == 0 else "data"

    assert load().data_dir == Path(expected)
    assert load(DATA_DIR="./trial").data_dir == Path("trial")
    assert load(DATA_DIR="~/kept").data_dir == Path.home() / "kept"


def test_values_are_read_as_what_they_mean() -> None:
    settings = load(
        ROLES="scheduler, worker",
        ENVIRONMENT="development",
        GRAPHIQL="off",
        LOG_LEVEL="warning",
        DISCORD_ORIGINS="https://Discord.com,http://127.0.0.1:9100",
        GLOBAL_RATE="5/Second",
        DB_POOL_TIMEOUT="3",
    )

    assert settings.roles == {Role.SCHEDULER, Role.WORKER}
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.graphiql is False
    assert settings.log_level is LogLevel.WARNING
    assert settings.discord_origins == ("https://discord.com", "http://127.0.0.1:9100")
    assert settings.global_rate == "5/second"
    assert settings.db_pool_timeout_seconds == 3


def test_api_keys_have_a_name_and_a_role() -> None:
    settings = load(API_KEY="first", API_KEYS="ci:second:read,ops:third:admin")

    keys = [(k.name, k.key.get_secret_value(), k.role) for k in settings.access_keys]

    assert keys == [
        ("default", "first", KeyRole.ADMIN),
        ("ci", "second", KeyRole.READ),
        ("ops", "third", KeyRole.ADMIN),
    ]


def test_without_api_key_only_the_named_keys_count() -> None:
    assert [key.name for key in load(API_KEYS="ci:second:read").access_keys] == ["ci"]
    assert load().access_keys == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().port = 1  # type: ignore[misc] # what must not work


def test_logs_are_json_in_production_unless_told_otherwise() -> None:
    assert load().log_format is LogFormat.CONSOLE
    assert load(**PRODUCTION).log_format is LogFormat.JSON
    assert load(**PRODUCTION, LOG_FORMAT="console").log_format is LogFormat.CONSOLE


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("PORT", 0, 65535),
        ("DB_POOL_SIZE", 1, 1000),
        ("DB_POOL_TIMEOUT", 1, 300),
        ("MAX_BODY_BYTES", 1024, 104857600),
        ("WORKER_CONCURRENCY", 1, 10000),
        ("MIN_INTERVAL_SECONDS", 1, 86400),
        ("RUN_DEADLINE_SECONDS", 1, 604800),
        ("FIRE_ALL_LIMIT", 1, 10000),
        ("SHUTDOWN_SECONDS", 0, 3600),
        ("LOG_RETENTION_DAYS", 1, 36500),
    ],
)
def test_numbers_have_a_range_that_their_sentence_states(
    name: str, lowest: int, highest: int
) -> None:
    load(**{name: str(lowest)})
    load(**{name: str(highest)})

    for outside in (lowest - 1, highest + 1, "many", "1.5"):
        [line] = problems(**{name: str(outside)})
        assert line.startswith(f"{name}: got '{outside}'; takes: ")
        assert f"{lowest} to {highest}" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "staging"),
        ("ROLES", "worcker"),
        ("ROOT_PATH", "no-slash"),
        ("ROOT_PATH", "/ends/with/"),
        ("GLOBAL_RATE", "50"),
        ("GLOBAL_RATE", "0/second"),
        ("DISCORD_ORIGINS", "https://discord.com/"),
        ("DISCORD_ORIGINS", "https://discord.com/api"),
        ("DISCORD_ORIGINS", "discord.com"),
        ("DISCORD_ORIGINS", "ftp://discord.com"),
        ("DISCORD_ORIGINS", "https://user@discord.com"),
        ("GRAPHIQL", "perhaps"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("DATA_DIR", "~nosuch/data"),
        ("ALLOWED_ORIGINS", "https://a:99999"),
        ("ALLOWED_ORIGINS", "https://[:::::]"),
        ("SECURITY_EXPIRES", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_wrong_value_is_named_with_what_it_got_and_takes(name: str, value: str) -> None:
    [line] = problems(**{name: value})

    assert line.startswith(f"{name}: got '{value}'")
    assert "; takes: " in line


def test_all_problems_are_reported_at_once() -> None:
    lines = problems(PORT="x", ROLES="api,wroker", LOG_LEVEL="loud")

    assert [line.split(":")[0] for line in lines] == ["PORT", "ROLES", "LOG_LEVEL"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", "hush hush"),
        ("API_KEYS", "ci:hush"),
        ("API_KEYS", "ci:hush:owner"),
        ("API_KEYS", "c i:hush:read"),
        ("API_KEYS", "ci:hu:sh:read"),
        ("API_KEYS", "Engine:hush:read"),
        ("ENCRYPTION_KEYS", "hush"),
        ("ENCRYPTION_KEYS", f"{KEY},hush"),
        ("DATABASE_URL", "mysql://user:hush@host/name"),
        ("DATABASE_URL", "postgresql://user:hush@host:port/name"),
        ("DATABASE_URL", "postgresql://user:hush@[host/name"),
        ("DATABASE_URL", "hush"),
        ("DATABASE_URL", f"postgresql://user:hush@{'h' * 64}/name"),
        ("DATABASE_URL", "postgresql://host/name?statement_cache_size=hush"),
        ("DATABASE_URL", "postgresql://host/name?sslcert=hush"),
        ("DATABASE_URL", "postgresql://host/name?hush"),
        ("DATABASE_URL", "postgresql://host/name?port=hush"),
        ("DATABASE_URL", "postgresql://host/name?sslmode=hush"),
        ("DATABASE_URL", "postgresql://host/name?sslmode=require&sslrootcert=hush"),
        ("DATABASE_URL", f"postgresql://host/name?sslmode=prefer&sslrootcert={__file__}"),
        ("REDIS_URL", "http://host/0"),
        ("REDIS_URL", "redis://host/0?hush=1"),
        ("REDIS_URL", "redis://host/0?hush"),
        ("REDIS_URL", "redis://host/0?db=hush"),
        ("REDIS_URL", "redis://host/0?protocol=9"),
        ("REDIS_URL", "redis://host/0?ssl_cert_reqs=none"),
        ("REDIS_URL", "rediss://host/0?ssl_cert_reqs=hush"),
    ],
)
def test_wrong_secret_is_named_but_not_shown(name: str, value: str) -> None:
    [line] = problems(**{name: value})

    assert line.startswith(f"{name}: got a secret (")
    assert "hush" not in line


@pytest.mark.parametrize(
    "name", ["DISCORD_ORIGINS", "ALLOWED_ORIGINS", "GLOBAL_RATE_ORIGINS", "SECURITY_CONTACT"]
)
@pytest.mark.parametrize("end", ["", "?wait=true", "?token=" + "aB3-_" * 13])
def test_webhook_url_in_the_wrong_place_is_not_shown(name: str, end: str) -> None:
    url = "http://discord.com/api/webhooks/123456789012345678/" + "aB3-_" * 13 + end

    [line] = problems(**{name: url})

    assert line.startswith(f"{name}: got 'http://discord.com/api/webhooks/****'")
    assert "aB3" not in line


def test_token_alone_in_the_wrong_place_is_not_shown() -> None:
    [line] = problems(DISCORD_ORIGINS="aB3-_" * 13)

    assert line.startswith("DISCORD_ORIGINS: got '****'")


def test_allowed_origin_is_what_browsers_say() -> None:
    origins = "https://a.example:443,http://[::1]:80,https://b.example:8443,http://c.example:443"

    assert load(ALLOWED_ORIGINS=origins).allowed_origins == (
        "https://a.example",
        "http://[::1]",
        "https://b.example:8443",
        "http://c.example:443",
    )


def test_refusal_does_not_carry_the_secret_in_its_cause() -> None:
    with pytest.raises(SettingsError) as refused:
        load(DATABASE_URL="mysql://user:hush@host/name")

    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_secrets_are_not_in_the_repr() -> None:
    settings = load(
        API_KEY="hush",
        API_KEYS="ci:hush2:read",
        ENCRYPTION_KEYS=KEY,
        DATABASE_URL="postgresql://user:hush@host/name",
    )

    assert "hush" not in repr(settings)
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"API_KEY": "one", "API_KEYS": "a:one:read"}, "the same key"),
        ({"API_KEYS": "a:one:read,a:two:read"}, "one name"),
        ({"API_KEY": "one", "API_KEYS": "default:two:read"}, "one name"),
        ({"DATABASE_URL": "postgresql://host/name"}, "ENCRYPTION_KEYS: got nothing"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    env: dict[str, str], sentence: str
) -> None:
    [line] = problems(**env)

    assert sentence in line


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user@host/name",
        "postgresql://user@host/name",
        "postgresql://user@/name?host=%2Fvar%2Frun%2Fpostgresql&port=5433",
        "postgresql:///name?host=h&user=u&password=p",
        "postgresql://user@host/name?sslmode=verify-full",
        "postgresql://user@host/name?ssl=true",
    ],
)
def test_database_url_with_encryption_keys_is_taken(url: str) -> None:
    settings = load(DATABASE_URL=url, ENCRYPTION_KEYS=f"{KEY}, {OTHER_KEY}")

    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == url
    assert [key.get_secret_value() for key in settings.encryption_keys] == [KEY, OTHER_KEY]


def test_production_needs_a_key_and_encryption() -> None:
    lines = problems(ENVIRONMENT="production")

    assert [line.split(":")[0] for line in lines] == ["API_KEY", "ENCRYPTION_KEYS"]


def test_production_takes_strong_keys_under_either_name() -> None:
    named = {"ENVIRONMENT": "production", "ENCRYPTION_KEYS": KEY, "API_KEYS": f"ci:{SAFE}:admin"}

    assert load(**PRODUCTION).environment is Environment.PRODUCTION
    assert load(**named).api_key is None


@pytest.mark.parametrize(
    "key",
    [
        SAFE[:23],
        "change-me-change-me-change-me",
        "this-is-an-example-of-a-key",
        "your-api-key-0000000000000",
        "a" * 40,
        "1234567" * 6,
        "my-Secret-k9Qz1vB7xW3mN5",
        "local-test-k9Qz1vB7xW3mN5",
        "k9Qz1vB7xW3mN5_demo_R8nB4",
        "Password123456789012345678",
        "the-api_key-of-this-service",
    ],
)
def test_production_refuses_weak_and_example_keys(key: str) -> None:
    [line] = problems(**PRODUCTION | {"API_KEY": key})
    [named] = problems(**PRODUCTION, API_KEYS=f"ci:{key}:read")

    assert "the key called default" in line
    assert "the key called ci" in named
    assert key not in line + named


def test_production_takes_random_keys_whatever_letters_come_up() -> None:
    random = Random(1)
    made = [
        *(urlsafe_b64encode(random.randbytes(32)).decode() for _ in range(2000)),
        *(random.randbytes(16).hex() for _ in range(2000)),
        "kJ3vQ9xT7mZlatestwR8nB4cF6",
    ]

    assert [key for key in made if is_weak(key)] == []


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://user:pass@host:6379/0",
        "rediss://host/0?ssl_cert_reqs=none&ssl_ca_certs=/etc/ca.pem",
        "redis://host?db=2&socket_timeout=0.2&max_connections=5&protocol=3",
    ],
)
def test_redis_url_with_known_options_is_taken(url: str) -> None:
    settings = load(REDIS_URL=url)

    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


def test_production_sends_to_https_only() -> None:
    origins = "https://discord.com,http://127.0.0.1:9100"

    [line] = problems(**PRODUCTION, DISCORD_ORIGINS=origins)

    assert line == "DISCORD_ORIGINS: got 'http://127.0.0.1:9100'; production takes https:// only"
