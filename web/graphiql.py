"""GET /graphql: GraphiQL for browsers, served from here alone, under a strict policy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from web.answers import refusal

SOURCES: Final = Path(__file__).with_name("graphiql")
BUILT: Final = Path(__file__).with_name("static") / "graphiql"

# What the page loads: ours beside this module, the rest as `make graphiql` leaves it in BUILT.
_OURS: Final[Mapping[str, str]] = {"app.js": "text/javascript", "page.css": "text/css"}
_THEIRS: Final[Mapping[str, str]] = {
    "graphiql.min.css": "text/css",
    "graphiql.min.js": "text/javascript",
    "react.production.min.js": "text/javascript",
    "react-dom.production.min.js": "text/javascript",
}

# The one style that GraphiQL's menus write into the page, by its hash.
_MENU_STYLE: Final = "sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo="
# No inline script, nothing from elsewhere; GraphiQL's fonts and images are data: URLs.
_POLICY: Final = (
    f"default-src 'none'; script-src 'self'; style-src 'self' '{_MENU_STYLE}'; "
    "img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
# Those of theirs have a packed form beside them, made once when they are built.
_PACKED_SUFFIX: Final = ".gz"
_PACKED: Final = {"Content-Encoding": "gzip"}
_VARIES: Final = {"Vary": "Accept-Encoding"}
_A_DAY: Final = "public, max-age=86400"
_ASK_EACH_TIME: Final = "no-cache"


class GraphiQL:
    """The page and its files."""

    def __init__(self, built: Path = BUILT) -> None:
        self._built = built

    async def page(self, request: Request) -> Response:
        """Answer a browser with the page; GET never executes an operation."""
        if not _is_browsing(request):
            return refusal(
                405, "Send operations by POST; GET serves GraphiQL.", headers={"Allow": "POST"}
            )
        is_built = all((self._built / name).is_file() for name in _THEIRS)
        template = SOURCES / ("index.html" if is_built else "missing.html")
        headers = {**_HEADERS, "Cache-Control": _ASK_EACH_TIME, "Referrer-Policy": "no-referrer"}
        return HTMLResponse(template.read_text("utf-8"), headers=headers)

    async def asset(self, request: Request) -> Response:
        """Answer with one of the page's files; there are no others."""
        name = request.path_params["name"]
        if name in _OURS:
            return _file(SOURCES / name, _OURS[name], _ASK_EACH_TIME, {})
        if name in _THEIRS and (self._built / name).is_file():
            packed = self._built / f"{name}{_PACKED_SUFFIX}"
            if _takes_gzip(request.headers.get("Accept-Encoding", "")) and packed.is_file():
                return _file(packed, _THEIRS[name], _A_DAY, {**_VARIES, **_PACKED})
            return _file(self._built / name, _THEIRS[name], _A_DAY, _VARIES)
        return refusal(404, "There is no such file.")


def _file(path: Path, media_type: str, cache: str, more: Mapping[str, str]) -> Response:
    headers = {**_HEADERS, "Cache-Control": cache, **more}
    return FileResponse(path, media_type=media_type, headers=headers)


def _takes_gzip(accept: str) -> bool:
    """Return whether an Accept-Encoding names gzip. Source: RFC 9110, section 12.5.3."""
    for part in accept.lower().split(","):
        name, _, weight = part.replace(" ", "").partition(";q=")
        if name == "gzip":
            return weight == "" or weight.strip("0.") != ""
    return False


def _is_browsing(request: Request) -> bool:
    """Return whether somebody wants to see a page, and not to run a query by GET."""
    accept = request.headers.get("Accept", "*/*")
    return "text/html" in accept or ("*/*" in accept and "query" not in request.query_params)
