"""What the Dockerfile and the Compose files promise, as far as it can be read off them."""

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from dotenv import dotenv_values

from settings import Role, Settings, load_settings
from tests.containers import ROOT, SERVICE, compose, required_variables, stages

SECRETS = {
    "API_KEY": "0123456789abcdef0123456789abcdef",
    "DOMAIN": "bots.example.org",
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "POSTGRES_PASSWORD": "f00d",
    "REDIS_PASSWORD": "beef",
    "TRUSTED_PROXIES": "172.18.0.0/16",
}
LOCAL, PROD, ROLES = "docker-compose.yml", "docker-compose.prod.yml", "docker-compose.roles.yml"
# Nothing is kept in the container; the parts a process plays are the overlay's business.
NOT_IN_PRODUCTION = {"DATA_DIR", "ROLES"}


def service(name: str) -> Any:
    return compose(name, SECRETS)["services"][SERVICE]


def given(environment: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if value is not None}


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def as_tree(labels: dict[str, str]) -> dict[str, Any]:
    """Return labels as Traefik reads them: a dot is a step downwards."""
    tree: dict[str, Any] = {}
    for label, value in labels.items():
        *path, last = label.split(".")
        node = tree
        for step in path:
            node = node.setdefault(step, {})
            node = node if isinstance(node, dict) else {}
        node[last] = node.get(last) or value
    return tree


def test_traefik_s_router_strips_the_prefix_that_the_service_is_told() -> None:
    labels = service(PROD)["labels"]
    router = f"traefik.http.routers.{SERVICE}"
    rule = labels[f"{router}.rule"]

    assert labels["traefik.enable"] == "true"
    assert rule == "Host(`bots.example.org`) && PathPrefix(`/api/task-scheduler`)"
    assert labels[f"{router}.entrypoints"] == "websecure"
    assert labels[f"{router}.tls.certresolver"] == "letsencrypt"
    middlewares = labels[f"{router}.middlewares"].split(",")
    stripping = [
        label.removeprefix("traefik.http.middlewares.").removesuffix(".stripprefix.prefixes")
        for label, value in labels.items()
        if label.endswith(".stripprefix.prefixes") and value == "/api/task-scheduler"
    ]
    assert set(stripping) <= set(middlewares)
    assert len(stripping) == 1
    assert service(PROD)["environment"]["ROOT_PATH"] == "/api/task-scheduler"


def test_traefik_s_names_all_lead_somewhere() -> None:
    labels = service(PROD)["labels"]
    http = as_tree(labels)["traefik"]["http"]
    router = http["routers"][SERVICE]

    assert set(router["middlewares"].split(",")) == set(http["middlewares"])
    assert router["service"] in http["services"]
    port = http["services"][SERVICE]["loadbalancer"]["server"]["port"]
    assert port == service(PROD)["environment"]["PORT"] == "3005"
    network = labels["traefik.docker.network"]
    assert network in service(PROD)["networks"]
    assert compose(PROD)["networks"][network] == {"external": True}


def test_traefik_bounds_what_one_client_has_open() -> None:
    http = as_tree(service(PROD)["labels"])["traefik"]["http"]
    bound = http["middlewares"][f"{SERVICE}-connections"]["inflightreq"]

    assert 1 <= int(bound["amount"]) < 500  # of one client, below what the service bounds of all
    assert bound["sourcecriterion"] == {"ipstrategy": {"depth": "0"}}  # else it is by host


@pytest.mark.parametrize("name", [LOCAL, PROD])
def test_settings_in_compose_files_are_taken_by_the_service(name: str) -> None:
    settings = load_settings(given(service(name)["environment"]), None)

    assert (settings.host, settings.port) == ("0.0.0.0", 3005)
    assert settings.environment == ("production" if name == PROD else "development")
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value().endswith("@postgres:5432/task_scheduler")
    grace = seconds(service(name)["stop_grace_period"])
    assert grace >= settings.shutdown_seconds + 10


def test_every_setting_can_be_set_in_production() -> None:
    known = {str(field.alias) for field in Settings.model_fields.values()}

    assert set(service(PROD)["environment"]) == known - NOT_IN_PRODUCTION


def test_example_for_production_names_what_is_required() -> None:
    example = dotenv_values(ROOT / ".env.production.example")

    assert required_variables(PROD) <= set(example)
    assert {name for name, value in example.items() if value} == {"COMPOSE_FILE", "REPLICAS"}
    assert load_settings({}, ROOT / ".env.production.example") == load_settings({}, None)


def test_production_runs_several_copies_that_may_do_little() -> None:
    said = service(PROD)

    assert "container_name" not in said
    assert int(said["deploy"]["replicas"]) >= 2
    assert said["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert (said["read_only"], said["cap_drop"]) == (True, ["ALL"])
    assert said["security_opt"] == ["no-new-privileges:true"]
    assert said["restart"] == "unless-stopped"
    assert "ports" not in said
    for each in compose(PROD)["services"].values():
        assert each["logging"]["options"].keys() == {"max-size", "max-file"}


def test_database_and_redis_of_production_are_on_an_inner_network_alone() -> None:
    said = compose(PROD, SECRETS)

    assert said["networks"]["backend"] == {"internal": True}
    for name in ("postgres", "redis"):
        assert said["services"][name]["networks"] == ["backend"]
        assert "ports" not in said["services"][name]


@pytest.mark.parametrize("name", [LOCAL, PROD])
def test_service_waits_for_what_it_needs(name: str) -> None:
    services = compose(name, SECRETS)["services"]

    for needed, wait in services[SERVICE]["depends_on"].items():
        assert wait == {"condition": "service_healthy"}
        assert services[needed]["healthcheck"]["test"]


def test_local_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for each in compose(LOCAL)["services"].values() for port in each["ports"]]

    assert ports == ["127.0.0.1:5432:5432", "127.0.0.1:6379:6379", "127.0.0.1:3005:3005"]


@pytest.mark.parametrize("name", [LOCAL, PROD])
def test_data_of_postgresql_18_outlives_its_container(name: str) -> None:
    postgres = compose(name)["services"]["postgres"]

    assert postgres["image"].startswith("postgres:18")
    assert postgres["volumes"] == ["postgres-data:/var/lib/postgresql"]


def test_overlay_plays_every_part_and_shows_traefik_one() -> None:
    services = compose(ROLES, SECRETS)["services"]

    parts = {name: each["environment"]["ROLES"] for name, each in services.items()}
    assert parts == {SERVICE: "api", "scheduler": "scheduler", "worker": "worker"}
    assert set(parts.values()) == set(Role)
    for name in ("scheduler", "worker"):
        assert services[name]["extends"] == {"file": PROD, "service": SERVICE}
        assert services[name]["labels"] == {"traefik.enable": "false"}
        assert (ROOT / PROD).is_file()


def test_build_is_sent_what_it_copies_and_nothing_else() -> None:
    copied = {
        source
        for stage in stages().values()
        for copy in stage.copies
        if copy.stage is None
        for source in copy.sources
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    first, *lines = [line for line in ignored if not line.startswith("#")]

    assert first == "*"
    kept = {line[1:].removesuffix("/") for line in lines if line.startswith("!")}
    assert kept == {source for source in copied if not source.startswith("web/")}
    assert all((ROOT / source).exists() for source in copied)


def test_local_service_follows_every_source() -> None:
    watched = {
        rule["path"]: rule["target"]
        for rule in service(LOCAL)["develop"]["watch"]
        if rule["action"] == "sync+restart"
    }
    sources = [source for copy in stages()["runtime"].copies for source in copy.sources]
    ours = {source for source in sources if (ROOT / source).exists() and source != "LICENSE"}

    assert watched == {source: f"/app/{source}" for source in ours}


def test_image_runs_the_service_as_nobody_special() -> None:
    runtime = stages()["runtime"]

    assert runtime.all("USER") == ["10001:10001"]
    assert runtime.all("EXPOSE") == ["3005"]
    assert runtime.all("STOPSIGNAL") == ["SIGTERM"]
    assert runtime.all("CMD") == ['["python", "main.py", "serve"]']
    environment = runtime.environment
    assert (environment["HOST"], environment["ENVIRONMENT"]) == ("0.0.0.0", "production")
    assert not any(re.search(r"apt-get|pip|gcc|npm", run) for run in runtime.all("RUN"))


def test_image_has_every_package_of_the_program() -> None:
    sources = [source for copy in stages()["runtime"].copies for source in copy.sources]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    of_work = {"bench", "sandbox", "scripts", "tests"}

    assert packages - of_work <= set(sources)
    assert {path.name for path in ROOT.glob("*.py")} <= set(sources)
    assert Path(ROOT / "migrations").is_dir()
