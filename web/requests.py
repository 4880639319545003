"""What a request says about itself: who sends it, from where, and which answer it takes."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

import structlog
from starlette.requests import Request
from starlette.types import Scope

from schema.keys import KeyRing, Principal, presented_key
from web.answers import JSON_TYPE

GRAPHQL_TYPE: Final = "application/graphql-response+json"

# The same few clients are asked for several times a request.
REMEMBERED: Final = 1024
# Of IPv6 that carries one of IPv4, in full. What is longer is no address, and not worth keeping.
MAX_ADDRESS_CHARS: Final = 45

IPAddress: TypeAlias = IPv4Address | IPv6Address

log = structlog.get_logger(__name__)


def client_address(scope: Scope) -> str | None:
    """Return the client's IP address; None if there is none, as on a Unix socket."""
    client = scope.get("client")
    address = parse_address(client[0]) if client else None
    return None if address is None else str(address)


def parse_address(text: str) -> IPAddress | None:
    """Return the address; one of IPv4 as such, also where IPv6 carries it; None for garbage.

    An IPv6 zone (%eth0) is left out: it may be any text of any length.
    """
    address = text.partition("%")[0]
    return _parsed(address) if len(address) <= MAX_ADDRESS_CHARS else None


@lru_cache(maxsize=REMEMBERED)
def _parsed(text: str) -> IPAddress | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def request_id(scope: Scope) -> str | None:
    """Return the request's id, which the middleware gave it."""
    state: Mapping[str, str] = scope.get("state", {})
    return state.get("request_id")


def authenticate(keys: KeyRing, request: Request) -> Principal | None:
    """Return whose API key the request carries, or None."""
    return recognise(keys, presented_key(request.headers), request.scope)


def recognise(keys: KeyRing, given: str | None, scope: Scope) -> Principal | None:
    """Return whose API key this is, or None; either is logged, the key never is."""
    principal = keys.find(given) if given else None
    client = client_address(scope)
    if principal is None:
        reason = "wrong" if given else "missing"
        log.warning("api_key_refused", reason=reason, client=client)
        return None
    structlog.contextvars.bind_contextvars(api_key=principal.name)
    log.debug("api_key_accepted", role=principal.role.value, client=client)
    return principal


def graphql_media_type(accept: str | None) -> str:
    """Return the media type that the client likes best; JSON_TYPE if it has no preference.

    Source: GraphQL over HTTP, "Body"; RFC 9110, section 12.5.1.
    """
    weights = dict(_weight(part) for part in (accept or "").split(","))
    wanted = weights.get(GRAPHQL_TYPE, 0.0)
    return GRAPHQL_TYPE if wanted > 0.0 and wanted >= weights.get(JSON_TYPE, 0.0) else JSON_TYPE


def _weight(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return media_type, _number(value)
    return media_type, 1.0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
