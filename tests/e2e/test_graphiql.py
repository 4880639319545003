"""GraphiQL as a browser shows it, from the real program, without internet."""

import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from tests.acceptance.running import API_KEY, Service, running
from tests.e2e.browser import Page, browsing
from tests.e2e.graphiql import GraphiQL
from tests.e2e.proxy import proxy
from tests.fake_discord import FakeDiscord
from tests.serving import serving
from web.graphiql import BUILT
from web.graphiql import GraphiQL as ServedPage

TEMPLATE = '{\n  "X-API-Key": "your-api-key"\n}'
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
PLACEHOLDER = "https://discord.com/api/webhooks/<id>/<token>"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with browsing() as page:
        yield page


def ticking(fake: FakeDiscord) -> dict[str, object]:
    return {
        "name": "every second",
        "schedule": "* * * * * *",
        "webhookUrl": fake.url(),
        "payload": {"content": "hello"},
    }


def hosts(page: Page) -> set[str]:
    return {urlsplit(url).netloc for url in page.requests}


def posts(page: Page) -> list[str]:
    return [url for url in page.requests if url.endswith("/graphql")][1:]


@pytest.mark.parametrize("has_prefix", [False, True], ids=["at the root", "below a prefix"])
async def test_key_query_mutation_and_docs_work_from_this_host_alone(
    real_service: Service, page: Page, fake_discord: FakeDiscord, has_prefix: bool
) -> None:
    async with AsyncExitStack() as stack:
        url = (
            await stack.enter_async_context(proxy(real_service.url))
            if has_prefix
            else real_service.url
        )
        graphiql = GraphiQL(page)
        await graphiql.open(f"{url}/graphql")
        await graphiql.use_key(API_KEY)
        await graphiql.wait_for_state("key accepted")

        await graphiql.replace(PLACEHOLDER, fake_discord.url())
        created = await graphiql.run("Create")
        listed = await graphiql.run("Tasks")
        await graphiql.wait_for_docs("Query", "tasks")

        assert created["data"]["createTask"]["webhookUrl"].endswith("/****")
        assert [task["name"] for task in listed["data"]["tasks"]["data"]] == ["Good morning"]
        assert "Tasks, the newest first." in await graphiql.docs()
        assert page.problems == []
        assert hosts(page) == {urlsplit(url).netloc}


@pytest.mark.parametrize("has_prefix", [False, True], ids=["at the root", "below a prefix"])
async def test_subscription_shows_an_attempt_when_it_ends(
    real_service: Service, page: Page, fake_discord: FakeDiscord, has_prefix: bool
) -> None:
    async with AsyncExitStack() as stack:
        url = (
            await stack.enter_async_context(proxy(real_service.url))
            if has_prefix
            else real_service.url
        )
        graphiql = GraphiQL(page)
        await graphiql.open(f"{url}/graphql")
        await graphiql.use_key(API_KEY)
        await graphiql.wait_for_state("key accepted")

        await graphiql.start("Watch")
        await page.wait_for_request("ws://")
        await real_service.data(CREATE, {"input": ticking(fake_discord)})
        shown = await graphiql.answer()

        assert shown["data"]["taskLogs"]["status"] == "SUCCESS"
        assert page.problems == []
        assert hosts(page) == {urlsplit(url).netloc}


async def test_large_files_are_sent_packed_as_they_were_built(real_service: Service) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        names = [path.stem for path in BUILT.glob("*.gz")]
        for name in names:
            url = f"{real_service.url}/graphql/assets/{name}"
            async with session.get(url, headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.headers["Content-Encoding"] == "gzip"
                assert gzip.decompress(await answer.read()) == (BUILT / name).read_bytes()

    assert len(names) == 4


async def test_nothing_is_sent_before_there_is_a_key(real_service: Service, page: Page) -> None:
    graphiql = GraphiQL(page)
    await graphiql.open(f"{real_service.url}/graphql")

    answer = await graphiql.run("Dashboard")

    assert "Set your API key" in answer["errors"][0]["message"]
    assert posts(page) == []


async def test_wrong_key_is_told(real_service: Service, page: Page) -> None:
    graphiql = GraphiQL(page)
    await graphiql.open(f"{real_service.url}/graphql")

    await graphiql.use_key("not the key")
    await graphiql.wait_for_state("wrong key")

    assert all("401" in problem for problem in page.problems)


async def test_too_many_wrong_keys_are_told_as_what_they_are(
    settings: dict[str, str], page: Page
) -> None:
    async with running(settings | {"FAILED_KEY_LIMIT": "1/hour"}) as service:
        graphiql = GraphiQL(page)
        await graphiql.open(f"{service.url}/graphql")
        for key in ("not the key", "nor this"):
            await graphiql.use_key(key)

        await graphiql.wait_for_state("429 Too Many Requests")


async def test_key_in_the_header_editor_is_used_and_kept(real_service: Service, page: Page) -> None:
    graphiql = GraphiQL(page)
    await graphiql.open(f"{real_service.url}/graphql")
    assert await graphiql.headers() == TEMPLATE

    await graphiql.write_headers({"X-API-Key": API_KEY})
    answer = await graphiql.run("Dashboard")
    await graphiql.open(f"{real_service.url}/graphql")
    await graphiql.wait_for_state("key accepted")
    await graphiql.wait_for_docs("Query", "tasks")

    assert answer["data"]["dashboardStats"]["total"] == 0
    assert page.problems == []


async def test_key_of_the_form_is_used_while_the_template_is_untouched(
    real_service: Service, page: Page
) -> None:
    graphiql = GraphiQL(page)
    await graphiql.open(f"{real_service.url}/graphql")
    await graphiql.use_key(API_KEY)
    await graphiql.wait_for_state("key accepted")

    await graphiql.write_headers({"x-api-key": "another"})
    refused = await graphiql.run("Dashboard")
    await graphiql.write_headers({"X-API-Key": "your-api-key"})
    allowed = await graphiql.run("Dashboard")

    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert allowed["data"]["dashboardStats"]["total"] == 0


@pytest.mark.parametrize(
    "script",
    [
        "document.head.append(Object.assign(document.createElement('script'), {text: 'ran = 1'}))",
        "document.body.setAttribute('onclick', 'ran = 1'); document.body.click()",
        "try { eval('ran = 1') } catch {}",
        "fetch('http://127.0.0.1:9/').catch(() => null)",
    ],
    ids=["inline script", "inline handler", "eval", "another host"],
)
async def test_policy_forbids_what_the_page_does_not_need(
    real_service: Service, page: Page, script: str
) -> None:
    await page.open(f"{real_service.url}/graphql")

    await page.evaluate(f"(() => {{ {script} }})()")
    await page.wait_for_problem("ContentSecurityPolicyIssue")

    assert await page.evaluate("window.ran") is None
    assert hosts(page) == {urlsplit(real_service.url).netloc}


async def test_page_that_is_not_built_says_how(page: Page, tmp_path: Path) -> None:
    served = ServedPage(tmp_path)
    routes = [
        Route("/graphql", served.page),
        Route("/graphql/assets/{name}", served.asset),
    ]
    async with serving(Starlette(routes=routes)) as api:
        await page.open(f"{api.url}/graphql")

        shown = await page.evaluate("document.body.innerText")

    assert "GraphiQL is not built here" in shown
    assert "make graphiql" in shown
    assert page.problems == []
