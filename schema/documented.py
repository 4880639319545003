"""Types and resolvers of the API; their docstrings are what the API says about them."""

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast, dataclass_transform

import strawberry

P = ParamSpec("P")
T = TypeVar("T")


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def object_type(cls: type[T]) -> type[T]:
    """Make the class a type of the API."""
    return strawberry.type(cls, description=_description(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def input_type(cls: type[T]) -> type[T]:
    """Make the class an input of the API."""
    return strawberry.input(cls, description=_description(cls))


def resolver(function: Callable[P, T]) -> Callable[P, T]:
    """Make the method a field that is computed when it is asked for."""
    return cast("Callable[P, T]", strawberry.field(function, description=_description(function)))


def subscription(function: Callable[P, T]) -> Callable[P, T]:
    """Make the method, an async generator, a field whose values are followed."""
    described = strawberry.subscription(function, description=_description(function))
    return cast("Callable[P, T]", described)


def _description(documented: object) -> str:
    return " ".join((inspect.getdoc(documented) or "").split())
