"""Headless Chromium, driven over the DevTools protocol: one page, and all that it complains of."""

import asyncio
import base64
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.waiting import wait_until

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # there is no internet
    "--remote-debugging-port=0",
    "--window-size=1440,900",
)
START_SECONDS = 30.0
ANSWER_SECONDS = 20.0
_MIDDLE = """(async () => {
    const element = [...document.querySelectorAll(%r)].find(
        (e) => e.textContent.includes(%r) && e.getClientRects().length);
    if (!element) return null;
    const middle = () => {
        const box = element.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    };
    const before = middle();
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    const isStill = String(before) === String(middle());
    return isStill && element.contains(document.elementFromPoint(...before)) ? before : null;
})()"""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Page:
    """A page. `requests` are the URLs it asked for, `problems` what the console said of them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._socket = socket
        self._session: str | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def attach(self) -> None:
        """Make the page, and have the browser tell what happens on it."""
        target = await self._send("Target.createTarget", url="about:blank")
        attached = await self._send(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            await self._send(f"{domain}.enable")

    async def open(self, url: str) -> None:
        """Load the URL, and wait until all of its scripts have run."""
        await self._send("Page.navigate", url=url)
        await self.wait_for(
            f"location.href === {url!r} && document.readyState === 'complete'", what=f"page {url}"
        )

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression on the page."""
        answer = await self._send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            allowUnsafeEvalBlockedByCSP=False,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def wait_for(self, condition: str, *, what: str) -> Any:
        """Wait until an expression is true on the page, and return its value."""
        value = None

        async def holds() -> bool:
            nonlocal value
            value = await self.evaluate(f"({condition})")
            return bool(value)

        await wait_until(holds, what=what, timeout_seconds=ANSWER_SECONDS)
        return value

    async def wait_for_problem(self, text: str) -> None:
        """Wait until the browser has complained of this."""
        await wait_until(
            lambda: any(text in problem for problem in self.problems),
            what=f"problem with {text!r}",
        )

    async def wait_for_request(self, beginning: str) -> None:
        """Wait until the page has asked for something that begins like this."""
        await wait_until(
            lambda: any(url.startswith(beginning) for url in self.requests),
            what=f"request of {beginning}",
        )

    async def click(self, selector: str, text: str = "") -> None:
        """Click in the middle of the first element of the selector that shows the text.

        It has to be there, in two frames at the same place, with nothing over it.
        """
        middle = _MIDDLE % (selector, text)
        x, y = await self.wait_for(middle, what=f"{selector} with {text!r}")
        for event in ("mouseMoved", "mousePressed", "mouseReleased"):
            await self._send(
                "Input.dispatchMouseEvent",
                type=event,
                x=x,
                y=y,
                button="none" if event == "mouseMoved" else "left",
                clickCount=0 if event == "mouseMoved" else 1,
            )

    async def type(self, text: str) -> None:
        """Type the text where the cursor is."""
        await self._send("Input.insertText", text=text)

    async def resize(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """Give the page this size in CSS pixels, and light or dark colours."""
        await self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self._send("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self) -> bytes:
        """Return a picture of the page, as PNG."""
        answer = await self._send("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])

    async def close(self) -> None:
        """End the browser; `listen` returns then."""
        self._session = None
        await self._send("Browser.close")

    async def listen(self) -> None:
        """Take what the browser sends, until it is gone."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said.get("params", {}))

    def _note(self, event: str, told: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent" if not told["request"]["url"].startswith("data:"):
                self.requests.append(told["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(told["url"])
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
            case "Runtime.consoleAPICalled" if told["type"] in {"error", "assert"}:
                self.problems.append(str([part.get("value") for part in told["args"]]))
            case "Runtime.exceptionThrown":
                self.problems.append(str(told["exceptionDetails"]))
            case "Audits.issueAdded" if "contentSecurityPolicy" in str(told["issue"]):
                self.problems.append(str(told["issue"]))

    async def _send(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(message)
        answer = await asyncio.wait_for(self._answers[number], ANSWER_SECONDS)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]


@asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """Start Chromium with a profile of its own, yield a page, and end it."""
    chromium = shutil.which("chromium")
    assert chromium, "There is no chromium; `make e2e` installs it."
    profile = Path(tempfile.mkdtemp(prefix="browser-"))
    with (profile / "printed").open("wb") as printed:
        process = await asyncio.create_subprocess_exec(
            chromium,
            *FLAGS,
            f"--user-data-dir={profile}",
            env={"HOME": str(profile), "PATH": "/usr/bin:/bin"},
            stdout=printed,
            stderr=printed,
        )
    try:
        address = await _address(process, profile)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(address, max_msg_size=MAX_MESSAGE_BYTES) as socket,
        ):
            page = Page(socket)
            listening = asyncio.create_task(page.listen())
            await page.attach()
            yield page
            await page.close()
            await listening
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await wait_until(lambda: _is_removed(profile), what="end of the browser's processes")


def _is_removed(profile: Path) -> bool:
    """Remove the profile; the browser's children may still write into it for a moment."""
    shutil.rmtree(profile, ignore_errors=True)
    return not profile.exists()


async def _address(process: asyncio.subprocess.Process, profile: Path) -> str:
    """Wait for the file in which Chromium tells its port and path."""
    told = profile / "DevToolsActivePort"

    def is_told() -> bool:
        assert process.returncode is None, (profile / "printed").read_text()
        return told.is_file() and told.read_text().count("\n") == 1

    await wait_until(is_told, what="address of the browser", timeout_seconds=START_SECONDS)
    port, path = told.read_text().splitlines()
    return f"ws://127.0.0.1:{port}{path}"
