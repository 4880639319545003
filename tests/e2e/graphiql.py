"""What a person does on GraphiQL's page."""

import json
from typing import Any

from tests.e2e.browser import Page

_STATE = "document.getElementById('key-state').textContent"
_IDLE = "!document.querySelector('.graphiql-spinner')"
_EDITOR = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
_HEADERS = (
    "document.querySelector("
    "'.graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror').CodeMirror"
)
_RESULT = "document.querySelector('.result-window .CodeMirror').CodeMirror"


class GraphiQL:
    """GraphiQL in a browser's page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def open(self, url: str) -> None:
        """Load the page, and wait until it has tried to read the schema."""
        await self._page.open(url)
        await self._page.wait_for(f"{_STATE} && {_IDLE}", what="editor")

    async def use_key(self, key: str) -> None:
        """Type the key into the form above the editor."""
        await self._page.click("#key")
        await self._page.type(key)
        await self._page.click("#key-form button")

    async def wait_for_state(self, state: str) -> None:
        """Wait until the page says this of the key."""
        await self._page.wait_for(f"{_STATE} === {state!r} && {_IDLE}", what=f"state {state!r}")

    async def headers(self) -> str:
        """Return what is in the header editor."""
        return str(await self._page.evaluate(f"{_HEADERS}.getValue()"))

    async def write_headers(self, headers: dict[str, str]) -> None:
        """Replace what is in the header editor."""
        await self._page.evaluate(f"{_HEADERS}.setValue({json.dumps(json.dumps(headers))})")

    async def replace(self, old: str, new: str) -> None:
        """Replace a part of the operations' text."""
        text = await self._page.evaluate(f"{_EDITOR}.getValue()")
        assert old in text
        await self._page.evaluate(f"{_EDITOR}.setValue({json.dumps(text.replace(old, new))})")

    async def start(self, operation: str) -> None:
        """Click the button, and choose one of the operations in the editor."""
        await self._page.evaluate(f"{_RESULT}.setValue('')")
        await self._page.click(".graphiql-execute-button[aria-haspopup=menu]")
        await self._page.click("[role=menuitem]", operation)

    async def run(self, operation: str) -> Any:
        """Run one of the operations in the editor, and return its answer."""
        await self.start(operation)
        return await self.answer()

    async def answer(self) -> Any:
        """Return the answer that is shown, once there is one."""
        await self._page.wait_for(f"{_RESULT}.getValue().trim()", what="answer")
        return json.loads(await self._page.evaluate(f"{_RESULT}.getValue()"))

    async def wait_for_docs(self, *names: str) -> None:
        """Click through the documentation, from the root type on, to the last name."""
        await self._page.click("[aria-label='Show Documentation Explorer']")
        for name in names:
            await self._page.click(".graphiql-plugin a", name)

    async def docs(self) -> str:
        """Return what the documentation shows."""
        return str(
            await self._page.evaluate("document.querySelector('.graphiql-plugin').innerText")
        )
