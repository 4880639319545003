"""Everything of HTTP that is not GraphQL itself."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from models.database import Database
from tests.conftest import StartEngine
from tests.serving import Api, absent_database, as_admin, as_reader, make_app, serving
from tests.waiting import wait_until
from web.graphiql import SOURCES, GraphiQL
from web.middleware import InternalErrors, RequestLog

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NOBODY: dict[str, str] = {}


@pytest.fixture
async def absent() -> AsyncIterator[Database]:
    async with absent_database() as database:
        yield database


@pytest.fixture
async def api(absent: Database, cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with serving(make_app(absent, cipher)) as api:
        yield api


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/graphql/",
        "/graphql/x",
        "/graphql/assets/",
        "/graphql/assets/index.html",
        "/graphql/assets/..%2Fgraphiql.py",
        "/graphql/assets/%2e%2e/app.py",
        "/graphql/assets/build.sh",
        "/graphql/assets/app.js%00",
        "/health/",
        "/favicon.ico",
    ],
)
async def test_everything_else_is_404_in_json(api: Api, path: str) -> None:
    answer = await api.send("GET", path)

    assert (answer.status, answer.codes) == (404, ["NOT_FOUND"])


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics"])
async def test_pages_are_only_read(api: Api, path: str) -> None:
    answer = await api.send("POST", path)

    assert (answer.status, answer.codes) == (405, ["BAD_USER_INPUT"])
    assert answer.headers["Allow"] == "GET, HEAD"


async def test_healthy_service_is_200_and_shows_each_part(
    database: Database, cipher: WebhookCipher, start_engine: StartEngine
) -> None:
    engine = await start_engine(roles=frozenset({"scheduler"}))

    async with serving(make_app(database, cipher, engine=engine)) as api:
        answer = await api.send("GET", "/health", headers=NOBODY)

    assert (answer.status, answer.json["status"]) == (200, "ok")
    states = {name: part["state"] for name, part in answer.json["parts"].items()}
    assert states == {
        "database": "ok",
        "scheduler": "ok",
        "worker": "off",
        "redis": "off",
        "clock": "ok",
    }
    assert answer.headers["Cache-Control"] == "no-store"


async def test_service_that_cannot_work_is_503_but_alive(
    database: Database, cipher: WebhookCipher, start_engine: StartEngine
) -> None:
    engine = await start_engine(roles=frozenset({"scheduler"}))
    async with serving(make_app(database, cipher, engine=engine)) as api:
        await engine.stop()
        ready = await api.send("GET", "/health", headers=NOBODY)
        live = await api.send("GET", "/health/live", headers=NOBODY)

    assert (ready.status, ready.json["status"]) == (503, "down")
    assert ready.json["parts"]["database"]["state"] == "down"
    assert (live.status, live.json) == (200, {"status": "ok"})


async def test_metrics_need_a_key_of_any_role(api: Api) -> None:
    refused = await api.send("GET", "/metrics", headers=NOBODY)
    shown = await api.send("GET", "/metrics", headers=as_reader())

    assert (refused.status, refused.codes) == (401, ["UNAUTHENTICATED"])
    assert shown.headers["Content-Type"].startswith("text/plain")
    assert "\nscheduler_jobs " in shown.text


async def test_without_the_role_there_is_no_api(absent: Database, cipher: WebhookCipher) -> None:
    async with serving(make_app(absent, cipher, ROLES="scheduler,worker")) as api:
        posted = await api.post("{ __typename }")
        live = await api.send("GET", "/health/live")

    assert (posted.status, live.status) == (404, 200)


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 64])
async def test_well_formed_request_id_is_kept(api: Api, given: str) -> None:
    answer = await api.send("GET", "/health/live", headers={"X-Request-ID": given})

    assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a,b", "ä", "{}"])
async def test_other_request_id_is_replaced(api: Api, given: str) -> None:
    answer = await api.send("GET", "/nowhere", headers={"X-Request-ID": given})

    made = answer.headers["X-Request-ID"]
    assert len(made) == 32
    assert made.isalnum()


async def test_each_request_is_one_line(api: Api) -> None:
    with capture_logs() as logs:
        await api.send("GET", "/health/live?secret=token", headers=NOBODY)

    (entry,) = [entry for entry in logs if entry["event"] == "request"]
    assert entry.pop("duration_ms") >= 0
    assert entry == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/health/live",
        "status": 200,
        "client": "127.0.0.1",
    }


async def test_line_of_a_request_has_its_id_its_key_and_its_operation(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    await api.post("query Names { __typename }", headers={"X-Request-ID": "id-5"})
    await api.send("GET", "/health/live")

    lines = [line for line in capfd.readouterr().out.splitlines() if " request " in line]
    assert "request_id=id-5" in lines[0]
    assert "operation=Names" in lines[0]
    assert "api_key=default" in lines[0]
    assert "operation" not in lines[1]
    assert "api_key" not in lines[1]


@pytest.mark.parametrize("accept", ["text/html", "text/html,*/*;q=0.8", "*/*"])
async def test_browsers_get_graphiql_under_a_strict_policy(api: Api, accept: str) -> None:
    answer = await api.send("GET", "/graphql", headers={"Accept": accept})

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert " style=" not in answer.text


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_programs_do_not_get_graphiql(api: Api, accept: str) -> None:
    answer = await api.send("GET", "/graphql", headers={"Accept": accept})

    assert (answer.status, answer.codes) == (405, ["BAD_USER_INPUT"])


@pytest.mark.parametrize("page", ["index.html", "missing.html"])
def test_pages_refer_to_their_own_files_relative_to_any_prefix(page: str) -> None:
    text = (SOURCES / page).read_text("utf-8")

    references = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert references
    assert all(ref == "data:," or ref.startswith("graphql/assets/") for ref in references)


@pytest.mark.parametrize("page", ["index.html", "missing.html"])
async def test_every_file_of_ours_that_a_page_loads_is_there(api: Api, page: str) -> None:
    text = (SOURCES / page).read_text("utf-8")

    for name in re.findall(r'"graphql/assets/((?:app|page)[^"]+)"', text):
        answer = await api.send("GET", f"/graphql/assets/{name}", headers=NOBODY)
        assert answer.status == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-cache"


async def test_graphiql_that_is_not_built_says_how(tmp_path: Path) -> None:
    app = Starlette(routes=[Route("/graphql", GraphiQL(tmp_path).page)])

    async with serving(app) as api:
        answer = await api.send("GET", "/graphql", headers=NOBODY)

    assert answer.status == 200
    assert "make graphiql" in answer.text


async def test_built_graphiql_is_served_to_be_kept(tmp_path: Path) -> None:
    for name in ("graphiql.min.js", "graphiql.min.css"):
        (tmp_path / name).write_text("/* built */")
    (tmp_path / "secret.txt").write_text("x")
    app = Starlette(routes=[Route("/graphql/assets/{name}", GraphiQL(tmp_path).asset)])

    async with serving(app) as api:
        built = await api.send("GET", "/graphql/assets/graphiql.min.js", headers=NOBODY)
        other = await api.send("GET", "/graphql/assets/secret.txt", headers=NOBODY)
        absent = await api.send("GET", "/graphql/assets/react.production.min.js", headers=NOBODY)

    assert (built.status, built.text) == (200, "/* built */")
    assert built.headers["Content-Type"].startswith("text/javascript")
    assert built.headers["Cache-Control"] == "public, max-age=86400"
    assert (other.status, absent.status) == (404, 404)


@pytest.mark.parametrize(
    ("accept", "is_packed"),
    [
        ("gzip, deflate, br", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("", False),
    ],
)
async def test_built_file_is_sent_as_it_was_packed_to_who_takes_that(
    tmp_path: Path, accept: str, is_packed: bool
) -> None:
    script = "/* built */" * 100
    (tmp_path / "graphiql.min.js").write_text(script)
    (tmp_path / "graphiql.min.js.gz").write_bytes(packed := gzip.compress(script.encode()))
    (tmp_path / "graphiql.min.css").write_text("")
    app = Starlette(routes=[Route("/graphql/assets/{name}", GraphiQL(tmp_path).asset)])
    headers = {"Accept-Encoding": accept}

    async with serving(app) as api:
        answer = await api.send("GET", "/graphql/assets/graphiql.min.js", headers=headers)
        whole = await api.send("GET", "/graphql/assets/graphiql.min.css", headers=headers)
        direct = await api.send("GET", "/graphql/assets/graphiql.min.js.gz", headers=headers)

    assert (answer.status, answer.text) == (200, script)
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers.get("Content-Encoding") == ("gzip" if is_packed else None)
    assert int(answer.headers["Content-Length"]) == len(packed if is_packed else script)
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert (whole.status, whole.headers.get("Content-Encoding")) == (200, None)
    assert direct.status == 404


async def test_graphiql_can_be_turned_off(absent: Database, cipher: WebhookCipher) -> None:
    async with serving(make_app(absent, cipher, GRAPHIQL="off")) as api:
        page = await api.send("GET", "/graphql", headers=BROWSER)
        asset = await api.send("GET", "/graphql/assets/app.js", headers=BROWSER)
        posted = await api.post("{ __typename }")

    assert (page.status, page.codes) == (404, ["NOT_FOUND"])
    assert (asset.status, posted.status) == (404, 200)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a secret of the inside")


async def test_what_nobody_caught_is_500_in_json_and_logged_once() -> None:
    async with serving(RequestLog(InternalErrors(failing))) as api:
        with capture_logs() as logs:
            answer = await api.send("GET", "/", headers={"X-Request-ID": "id-6"})

    assert (answer.status, answer.codes) == (500, ["INTERNAL_SERVER_ERROR"])
    assert answer.json["errors"][0]["extensions"]["requestId"] == "id-6"
    assert "secret" not in answer.text
    assert [entry["event"] for entry in logs] == ["request_failed", "request"]
    assert logs[1]["status"] == 500


async def test_client_that_leaves_while_it_sends_is_no_fault(api: Api) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /graphql HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    key = "".join(f"{name}: {value}\r\n" for name, value in as_admin().items())

    with capture_logs() as logs:
        writer.write(f"{head}{key}Content-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        await wait_until(lambda: len(logs) > 0, what="authentication")
        writer.close()
        await writer.wait_closed()
        await wait_until(lambda: logs[-1]["event"] == "request", what="line of the request")

    assert logs[-1]["status"] == 499
    assert {entry["log_level"] for entry in logs} <= {"debug", "info"}
