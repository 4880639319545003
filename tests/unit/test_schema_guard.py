"""What holds for every way in, also past HTTP's own check of the key."""

import pytest
from cryptography.fernet import Fernet
from graphql import get_introspection_query

from engine.audit import Actor
from engine.cipher import WebhookCipher
from engine.statistics import Statistics
from models.database import Database
from schema.context import OperationContext, Services
from schema.keys import Principal
from schema.loaders import Loaders
from schema.schema import build_schema
from setting_types import KeyRole
from tests.conftest import make_service
from tests.serving import absent_database, idle_engine

ADMIN = Principal(name="default", role=KeyRole.ADMIN)
READER = Principal(name="board", role=KeyRole.READ)


def context_of(principal: Principal | None, database: Database) -> OperationContext:
    cipher = WebhookCipher([Fernet.generate_key().decode()])
    services = Services(
        database=database,
        tasks=make_service(cipher, "http://127.0.0.1"),
        engine=idle_engine(database, cipher),
        statistics=Statistics(database),
    )
    actor = Actor(name=principal.name if principal else "nobody", request_id="request-3")
    return OperationContext(
        principal=principal, actor=actor, services=services, loaders=Loaders(database)
    )


async def codes_of(query: str, principal: Principal | None) -> list[object]:
    async with absent_database() as database:
        result = await build_schema().execute(query, context_value=context_of(principal, database))
    return [(error.extensions or {})["code"] for error in result.errors or ()]


@pytest.mark.parametrize(
    "query", ["{ __typename }", get_introspection_query(), "mutation { reloadTasks }"]
)
async def test_nothing_is_executed_without_a_key(query: str) -> None:
    assert await codes_of(query, None) == ["UNAUTHENTICATED"]


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("{ __typename }", []),
        ("query Read { __typename }", []),
        ("mutation { __typename }", ["FORBIDDEN"]),
        ("mutation Change { reloadTasks }", ["FORBIDDEN"]),
    ],
)
async def test_reading_key_executes_queries_only(query: str, codes: list[object]) -> None:
    assert await codes_of(query, READER) == codes


async def test_admin_key_executes_mutations() -> None:
    assert await codes_of("mutation { __typename }", ADMIN) == []


async def test_operation_without_any_context_is_refused() -> None:
    result = await build_schema().execute("{ __typename }")

    assert result.data is None
    assert [(error.extensions or {})["code"] for error in result.errors or ()] == [
        "INTERNAL_SERVER_ERROR"
    ]
