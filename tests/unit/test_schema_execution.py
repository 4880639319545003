"""The short way for leaves: the same answers as the stock executor's, to the byte."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
import pytest
import strawberry
from graphql import Undefined
from strawberry.extensions import FieldExtension, SchemaExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

from schema.core import core_schema
from schema.execution import _LEAVES, LeafExecutor, prepare_leaves
from schema.listed import Listed, columns_of
from schema.scalars import JSON, SCALARS


@strawberry.enum
class Colour(Enum):
    RED = "red"
    GREEN = strawberry.enum_value("green", name="LIME")


class Refused(BasePermission):
    message = "not for you"

    def has_permission(self, source: Any, info: strawberry.Info, **kwargs: Any) -> bool:
        return False


class Louder(FieldExtension):
    def resolve(
        self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        return f"{next_(source, info, **kwargs)}!"


@strawberry.type
class Thing:
    id: UUID = UUID(int=7)
    name: str = "a thing"
    note: str | None = None
    size: int = 3
    ratio: float = 0.5
    is_new: bool = True
    colour: Colour = Colour.GREEN
    second_colour: Colour | None = None
    made_at: datetime = datetime(2026, 1, 31, 9, tzinfo=UTC)
    payload: JSON = strawberry.field(default_factory=lambda: {"content": "hello", "embeds": [1]})
    tags: list[str] = strawberry.field(default_factory=lambda: ["a", "b"])
    secret: str | None = strawberry.field(default="s", permission_classes=[Refused])
    loud: str = strawberry.field(default="loud", extensions=[Louder()])

    @strawberry.field
    def shout(self, times: int = 2) -> str:
        return self.name * times

    @strawberry.field
    async def later(self) -> str:
        return f"{self.name}, later"

    @strawberry.field
    async def broken(self) -> str | None:
        raise ValueError("broken")

    @strawberry.field
    def title(self) -> str:
        return self.name.title()

    @strawberry.field
    def asked_for(self, info: strawberry.Info) -> str | None:
        return f"{info.field_name} of {self.name}"

    @strawberry.field
    def listed(self, info: strawberry.Info) -> list[str]:
        return [info.field_name]

    @strawberry.field
    def fails(self, info: strawberry.Info) -> str | None:
        raise ValueError(f"{info.field_name} of {self.name} fails")

    @strawberry.field
    def inner(self) -> "Thing":
        return Thing(name="inner")


async def _coroutine() -> str:
    return "awaited"


class Awaitable:
    def __await__(self) -> Any:
        return _coroutine().__await__()

    def __repr__(self) -> str:
        return "Awaitable()"


def odd_things() -> list[Any]:
    """Things with values that none of their fields promises."""
    anything: Any = Thing  # the types of its fields are what these values break
    return [
        anything(name=None),
        anything(name=ValueError("a value that is an error")),
        anything(note=ValueError("another one")),
        anything(name=Awaitable()),
        anything(note=Awaitable()),
        anything(note=Undefined),
        anything(name=5),
        anything(name={"not": "text"}),
        anything(size=2**31),
        anything(size="12"),
        anything(size=True),
        anything(ratio=float("nan")),
        anything(is_new="yes"),
        anything(colour="red"),
        anything(colour="no colour"),
        anything(second_colour=Colour.RED),
        anything(made_at="yesterday"),
        anything(payload=None),
        anything(payload=[1, {"a": None}]),
        {"name": "no attributes"},
        None,
    ]


def row_of(thing: Thing, names: Sequence[str]) -> list[Any]:
    """Return the values as a database has them, which knows sizes as text only."""
    return [str(thing.size) if name == "size" else getattr(thing, name) for name in names]


@strawberry.type
class Query:
    @strawberry.field
    def things(self) -> list[Thing]:
        return [Thing(), Thing(note="noted", second_colour=Colour.RED)]

    @strawberry.field
    def kept_as_columns(self) -> Sequence[Thing]:
        names = ("name", "size", "colour", "note", "made_at")
        columns = zip(*(row_of(thing, names) for thing in (Thing(), Thing(note="x"))), strict=True)
        return Listed(Thing, dict(zip(names, columns, strict=True)), {"size": int})

    @strawberry.field
    def kept_wrongly(self) -> Sequence[Thing]:
        return Listed(Thing, {"name": ["a", None], "size": ["1", "2"]}, {"size": int})

    @strawberry.field
    def none_kept(self) -> Sequence[Thing]:
        return Listed(Thing, columns_of(("name", "size"), []), {"size": int})

    @strawberry.field
    def odd(self, number: int) -> Thing | None:
        odd: Thing | None = odd_things()[number]
        return odd

    @strawberry.field
    def odds(self) -> list[Thing | None]:
        return odd_things()


def make(
    executor: type[LeafExecutor] | None = None, *extensions: type[SchemaExtension]
) -> strawberry.Schema:
    schema = strawberry.Schema(
        query=Query,
        execution_context_class=executor,
        extensions=extensions,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    prepare_leaves(core_schema(schema))
    return schema


class AllRead(LeafExecutor):
    """Fails where the stock executor would take over a selection of leaves."""

    def execute_field(self, *args: Any) -> Any:
        parent_type, _, _, path, _ = args
        assert parent_type.name != "Thing", f"{path.key} was not read directly"
        return super().execute_field(*args)


async def answer(schema: strawberry.Schema, query: str) -> bytes:
    result = await schema.execute(query)
    errors = [error.formatted for error in result.errors or ()]
    # An out-of-range float is for the encoder to refuse, whoever executed.
    return orjson.dumps({"data": result.data, "errors": errors})


LEAVES = (
    "__typename id name note size ratio isNew colour secondColour madeAt payload title askedFor"
)


@pytest.mark.parametrize(
    "query",
    [
        f"{{ things {{ {LEAVES} }} }}",
        "{ things { name tags shout note later id } }",
        "{ things { later name broken note } }",
        "{ things { title name askedFor again: askedFor listed } }",
        "{ things { title fails askedFor } }",
        "{ things { fails later title } odd(number: 0) { title askedFor } }",
        "{ things { b: name a: name __typename c: colour } }",
        "{ things { shout(times: 3) other: shout name } }",
        "{ things { ...f ... on Thing { size note } name } } fragment f on Thing { name size }",
        "{ things { name @skip(if: true) note @include(if: false) id @include(if: true) } }",
        "{ things { secret name } }",
        "{ things { loud name secret } }",
        "{ things { name inner { name later inner { size } } } things { note inner { id } } }",
        "{ things { name nothing } }",
        "{ keptAsColumns { size n: name colour note madeAt title askedFor } }",
        "{ keptAsColumns { later size inner { name } } }",
        "{ keptAsColumns { isNew size payload } }",
        "{ odds { __typename } odd(number: 18) { __typename } }",
        "{ __typename keptAsColumns { name kind: __typename } }",
        "{ keptWrongly { size } }",
        "{ keptWrongly { size name } }",
        "{ noneKept { size name title } things { size } }",
        f"{{ odds {{ {LEAVES} }} }}",
        "{ odds { name later } }",
        "{ odds { note broken size } }",
    ],
)
async def test_answer_is_the_stock_executors_to_the_byte(query: str) -> None:
    assert await answer(make(LeafExecutor), query) == await answer(make(), query)


@pytest.mark.parametrize("number", range(len(odd_things())))
@pytest.mark.parametrize(
    "fields", [LEAVES, f"later {LEAVES} broken", f"{LEAVES} tags inner {{ id }}"]
)
async def test_odd_value_is_answered_as_ever(number: int, fields: str) -> None:
    query = f"{{ odd(number: {number}) {{ {fields} }} }}"

    assert await answer(make(LeafExecutor), query) == await answer(make(), query)


@pytest.mark.parametrize(
    "query", [f"{{ things {{ {LEAVES} }} }}", "{ keptAsColumns { size name colour madeAt title } }"]
)
async def test_leaves_are_read_without_resolvers(query: str) -> None:
    result = await make(AllRead).execute(query)

    assert result.errors is None


def test_what_is_read_at_once_and_of_a_leaf_type_is_a_leaf() -> None:
    found = core_schema(make()).extensions[_LEAVES]

    assert {name for type_, name in found if type_ == "Thing"} == {*LEAVES.split(), "fails"}
    assert {type_ for type_, name in found if name != "__typename"} == {"Thing"}


class Uppercase(SchemaExtension):
    def resolve(self, _next: Any, root: Any, info: Any, *args: str, **kwargs: Any) -> Any:
        value = _next(root, info, *args, **kwargs)
        return value.upper() if isinstance(value, str) else value


async def test_extension_that_wraps_resolvers_wraps_leaves_too() -> None:
    result = await make(LeafExecutor, Uppercase).execute("{ things { name } }")

    assert result.data == {"things": [{"name": "A THING"}] * 2}
