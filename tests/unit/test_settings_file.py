"""Settings may stand in a .env file; the environment wins, and misspelt names are noticed."""

from pathlib import Path

import pytest

from settings import Role, SettingsError, load_settings


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_file_gives_what_the_environment_does_not(env_file: Path) -> None:
    env_file.write_text("PORT=4000\nHOST=::1\nROLES=api\n")

    settings = load_settings({"PORT": "5000"}, env_file=env_file)

    assert (settings.port, settings.host, settings.roles) == (5000, "::1", frozenset({Role.API}))


def test_variable_with_another_name_in_the_file_is_read(env_file: Path) -> None:
    env_file.write_text("DB_POOL_TIMEOUT=7\n")

    assert load_settings({}, env_file=env_file).db_pool_timeout_seconds == 7


def test_missing_file_is_no_problem(env_file: Path) -> None:
    assert load_settings({}, env_file=env_file) == load_settings({}, env_file=None)


def test_empty_values_count_as_unset(env_file: Path) -> None:
    env_file.write_text("PORT=\nAPI_KEY=\n")

    settings = load_settings({"HOST": "", "PORT": ""}, env_file=env_file)

    assert (settings.port, settings.host, settings.api_key) == (3005, "127.0.0.1", None)


def test_environment_is_the_process_s_own_by_default(
    monkeypatch: pytest.MonkeyPatch, env_file: Path
) -> None:
    monkeypatch.setenv("PORT", "4321")

    assert load_settings(env_file=env_file).port == 4321


def test_misspelt_name_in_the_file_is_reported_with_the_right_one(env_file: Path) -> None:
    env_file.write_text("DISCORD_ORIGIN=https://discord.com\nSHUTDOWN_SECOND=5\nPORT=x\n")

    with pytest.raises(SettingsError) as refused:
        load_settings({}, env_file=env_file)

    lines = str(refused.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["DISCORD_ORIGIN", "SHUTDOWN_SECOND", "PORT"]
    assert "did you mean DISCORD_ORIGINS?" in lines[0]


def test_unknown_names_of_others_are_ignored(env_file: Path) -> None:
    env_file.write_text("COMPOSE_PROJECT_NAME=mine\nPOSTGRES_PASSWORD=secret\n")

    load_settings({"PORTS": "1", "DISCORD_ORIGIN": "x"}, env_file=env_file)


def test_wrong_value_in_the_file_is_reported_like_any_other(env_file: Path) -> None:
    env_file.write_text("PORT=seventy\n")

    with pytest.raises(SettingsError, match=r"^PORT: got 'seventy'; takes: "):
        load_settings({}, env_file=env_file)


def test_file_that_is_not_utf_8_is_a_wrong_setting(env_file: Path) -> None:
    env_file.write_bytes(b"API_KEY=hush\xff\n")

    with pytest.raises(SettingsError) as refused:
        load_settings({}, env_file=env_file)

    assert str(refused.value) == f"{env_file} isn't text in UTF-8"
    assert refused.value.__context__ is None
