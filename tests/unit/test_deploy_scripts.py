"""deploy.sh and setup.sh, with a stand-in for Docker: what they ask of it, and what is left."""

import shutil
from pathlib import Path

import pytest
from dotenv import dotenv_values

from settings import load_settings
from tests.containers import ROOT, SERVICE, compose
from tests.fake_docker import IMAGE, SUBNET, FakeDocker
from tests.scripts import script

PROD = "docker-compose.prod.yml"
LATEST, PREVIOUS = f"{IMAGE}:latest", f"{IMAGE}:previous"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the scripts, as on a server."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / ".env.production.example", tmp_path)
    return tmp_path


async def deploy(folder: Path, docker: FakeDocker) -> tuple[int, str, FakeDocker]:
    (folder / ".env").write_text(f"COMPOSE_FILE={PROD}\n")
    docker.install(folder)
    status, output = await script("deploy", folder=folder, path=(folder,))
    after = FakeDocker.read(folder)
    assert "unknown:" not in output
    return status, output, after


def running_well(image: str = "old") -> FakeDocker:
    return FakeDocker(tags={LATEST: image}, copies=[image, image])


@pytest.mark.parametrize(
    "name", ["setup", "deploy", "migrate", "seed", "test", "backup", "restore"]
)
def test_script_ends_at_the_first_failure(name: str) -> None:
    path = ROOT / "scripts" / f"{name}.sh"

    assert path.read_text().startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in path.read_text()
    assert path.stat().st_mode & 0o111


async def test_first_deployment_builds_migrates_and_starts_in_this_order(folder: Path) -> None:
    status, output, docker = await deploy(folder, FakeDocker())

    assert (status, docker.copies) == (0, ["new", "new"]), output
    steps = [call.split()[1] for call in docker.calls if call.startswith("compose")]
    assert steps == ["config", "ps", "build", "run", "up"]
    migrating, starting = docker.calls[-2:]
    assert migrating.endswith(f"{SERVICE} python main.py migrate")
    assert "--label traefik.enable=false" in migrating
    assert "--wait" in starting.split()
    assert PREVIOUS not in docker.tags


async def test_second_deployment_keeps_the_first_one_s_image(folder: Path) -> None:
    status, _, docker = await deploy(folder, running_well())

    assert (status, docker.copies) == (0, ["new", "new"])
    assert docker.tags == {LATEST: "new", PREVIOUS: "old"}


async def test_version_that_does_not_start_is_rolled_back(folder: Path) -> None:
    given = running_well()
    given.broken = ["new"]

    status, output, docker = await deploy(folder, given)

    assert (status, docker.copies) == (1, ["old", "old"])
    assert docker.tags[LATEST] == "old"
    assert "The earlier version runs again" in output


async def test_failed_migration_never_starts_the_new_version(folder: Path) -> None:
    given = running_well()
    given.fails = ["compose run *"]

    status, _, docker = await deploy(folder, given)

    assert (status, docker.copies, docker.tags[LATEST]) == (1, ["old", "old"], "old")
    assert len([call for call in docker.calls if call.startswith("compose up")]) == 1


async def test_failed_build_touches_nothing_that_runs(folder: Path) -> None:
    given = running_well()
    given.fails = ["compose build *"]

    status, _, docker = await deploy(folder, given)

    assert (status, docker.copies, docker.tags[LATEST]) == (1, ["old", "old"], "old")
    assert not any(call.startswith(("compose up", "compose run")) for call in docker.calls)


async def test_first_deployment_that_fails_says_that_there_is_nothing_before(folder: Path) -> None:
    status, output, _ = await deploy(folder, FakeDocker(broken=["new"]))

    assert status == 1
    assert "no earlier version" in output


async def test_broken_version_that_runs_is_nothing_to_go_back_to(folder: Path) -> None:
    given = FakeDocker(
        tags={LATEST: "broken", PREVIOUS: "good"},
        copies=["broken", "broken"],
        broken=["broken", "new"],
    )

    status, _, docker = await deploy(folder, given)

    assert (status, docker.copies) == (1, ["good", "good"])
    assert docker.tags == {LATEST: "good", PREVIOUS: "good"}


@pytest.mark.parametrize("missing", ["compose config *", "network inspect *"])
async def test_what_is_missing_is_found_before_the_build(folder: Path, missing: str) -> None:
    given = running_well()
    given.fails = [missing]

    status, _, docker = await deploy(folder, given)

    assert (status, docker.copies) == (1, ["old", "old"])
    assert not any(call.startswith("compose build") for call in docker.calls)


async def test_deployment_without_settings_is_refused(folder: Path) -> None:
    FakeDocker().install(folder)

    status, output = await script("deploy", folder=folder, path=(folder,))

    assert (status, FakeDocker.read(folder).calls) == (1, [])
    assert "scripts/setup.sh" in output


async def test_setup_makes_settings_that_production_takes(folder: Path) -> None:
    FakeDocker().install(folder)

    status, output = await script("setup", "bots.example.org", folder=folder, path=(folder,))

    assert status == 0, output
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    made = {name: value or "" for name, value in dotenv_values(folder / ".env").items()}
    assert (made["DOMAIN"], made["TRUSTED_PROXIES"]) == ("bots.example.org", SUBNET)
    environment = compose(PROD, made)["services"][SERVICE]["environment"]
    load_settings({name: value for name, value in environment.items() if value}, None)
    secrets = [made[name] for name in ("API_KEY", "ENCRYPTION_KEYS", "POSTGRES_PASSWORD")]
    assert len(set(secrets)) == 3
    assert not any(secret in output for secret in secrets)


async def test_setup_again_changes_nothing_that_has_a_value(folder: Path) -> None:
    FakeDocker().install(folder)
    (folder / ".env").write_text("API_KEY=mine\nDOMAIN=\nRATE_LIMIT=5/second\n")

    await script("setup", "bots.example.org", folder=folder, path=(folder,))
    first = (folder / ".env").read_text()
    status, output = await script("setup", "other.example.org", folder=folder, path=(folder,))

    assert (status, output) == (0, "")
    assert (folder / ".env").read_text() == first
    assert first.startswith("API_KEY=mine\nDOMAIN=bots.example.org\nRATE_LIMIT=5/second\n")


async def test_setup_says_what_only_a_person_knows(folder: Path) -> None:
    FakeDocker(fails=["network *"]).install(folder)

    status, output = await script("setup", folder=folder, path=(folder,))

    assert status == 1
    assert "DOMAIN is still empty" in output
    assert "TRUSTED_PROXIES is still empty" in output
    assert dotenv_values(folder / ".env")["ENCRYPTION_KEYS"]
