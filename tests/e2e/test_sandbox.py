"""The sandbox's page in a browser: what comes is seen, and whatever comes is only text."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.sandboxes import Sandbox, sandboxed
from tests.e2e.browser import Page, browsing

HOSTILE = (
    "<script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\">"
)
SCRIPT_LINKS = "[a](javascript:alert(1)) javascript:alert(2) [b](data:text/html,c)"
TITLE = "document.title === 'Sandbox · Discord Task Scheduler'"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with sandboxed(tmp_path / "data") as sandbox:
        yield sandbox


@pytest.fixture
async def page(sandbox: Sandbox) -> AsyncIterator[Page]:
    async with browsing() as page:
        await page.open(f"{sandbox.url}/")
        yield page


async def post(sandbox: Sandbox, payload: dict[str, object]) -> None:
    """Send to the webhook as a stranger does, past the service's checks."""
    url = (await sandbox.details())["webhookUrl"]
    async with sandbox.http.post(url, json=payload) as answer:
        assert answer.status == 204


async def wait_for_article(page: Page, text: str) -> str:
    """Return an expression for the message with the text, once it is there."""
    article = (
        "[...document.querySelectorAll('article')]"
        f".find((one) => one.textContent.includes({json.dumps(text)}))"
    )
    await page.wait_for(f"Boolean({article})", what=text)
    return article


async def test_the_samples_are_seen_and_the_page_tells_how_to_make_a_task(
    sandbox: Sandbox, page: Page
) -> None:
    samples = "document.querySelectorAll('article').length >= 2"
    await page.wait_for(samples, what="sample messages")
    texts = await page.evaluate("document.getElementById('messages').innerText")
    bar = await page.evaluate("getComputedStyle(document.querySelector('.embed')).borderLeftColor")

    assert "It works!" in texts
    assert "Sample of the sandbox" in texts
    assert bar == "rgb(88, 101, 242)"
    await page.wait_for("document.getElementById('apiKey').textContent", what="key")
    told = await sandbox.details()
    for name in ("webhookUrl", "apiKey", "mutation", "command"):
        shown = await page.evaluate(f"document.getElementById({name!r}).textContent")
        assert shown == told[name]
    await page.click("button[data-copy=webhookUrl]")
    assert await page.evaluate("getSelection().toString()") == told["webhookUrl"]
    assert page.problems == []
    assert all(url.startswith(sandbox.url) for url in page.requests)


async def test_what_is_sent_while_the_page_is_open_comes_by_itself(
    sandbox: Sandbox, page: Page
) -> None:
    embed = {
        "title": "Build",
        "url": "https://example.org/build",
        "description": "**failed** on `main`",
        "color": 0xFF0000,
        "fields": [{"name": "Step", "value": "test", "inline": True}],
        "footer": {"text": "nightly"},
        "timestamp": "2026-01-02T03:04:05Z",
    }
    await post(sandbox, {"username": "Builder", "content": "see ||this||", "embeds": [embed]})
    article = await wait_for_article(page, "nightly")

    assert await page.evaluate(f"{article}.querySelector('.name').textContent") == "Builder"
    assert await page.evaluate(f"{article}.querySelector('.avatar').textContent") == "B"
    assert await page.evaluate(f"{article}.querySelector('.embed strong').textContent") == "failed"
    assert await page.evaluate(f"{article}.querySelector('.title a').href") == embed["url"]
    assert await page.evaluate(f"{article}.querySelector('.spoiler').tabIndex") == 0
    assert page.problems == []


@pytest.mark.parametrize("text", [HOSTILE, SCRIPT_LINKS])
async def test_hostile_text_is_shown_as_text(sandbox: Sandbox, page: Page, text: str) -> None:
    embed: dict[str, Any] = {
        "title": text,
        "url": "javascript:alert(1)",
        "description": text,
        "color": "red;background:url(https://example.org/)",
        "author": {"name": text, "url": "javascript:alert(1)", "icon_url": "https://example.org/"},
        "fields": [{"name": text, "value": text}],
        "footer": {"text": f"{text} end", "icon_url": "https://example.org/"},
        "image": {"url": "javascript:alert(1)"},
    }
    await post(sandbox, {"username": text[:80], "content": text, "embeds": [embed]})
    article = await wait_for_article(page, f"{text} end")

    assert await page.evaluate(TITLE)
    assert await page.evaluate(f"{article}.querySelectorAll('script, img, a, iframe').length") == 0
    assert await page.evaluate(f"{article}.querySelector('.text').textContent") == text
    assert page.problems == []
    assert all(url.startswith(sandbox.url) for url in page.requests)


@pytest.mark.parametrize("width", [1200, 360])
async def test_huge_text_stays_within_the_page(sandbox: Sandbox, page: Page, width: int) -> None:
    await page.resize(width, 700)
    embed = {"title": "t" * 256, "description": "d" * 4096, "footer": {"text": "f" * 2048}}
    fields = [{"name": "n" * 256, "value": "v" * 1024, "inline": True}] * 3
    await post(
        sandbox,
        {"username": "u" * 80, "content": "c" * 2000, "embeds": [{**embed, "fields": fields}]},
    )
    await wait_for_article(page, "f" * 2048)

    for scrolled in ("document.documentElement", "document.getElementById('messages')"):
        assert await page.evaluate(f"{scrolled}.scrollWidth <= {scrolled}.clientWidth")
    assert await page.evaluate(
        "(m => m.scrollHeight - m.scrollTop - m.clientHeight < 2)"
        "(document.getElementById('messages'))"
    )
    assert page.problems == []
