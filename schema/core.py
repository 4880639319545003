"""What Strawberry keeps to itself, and we need."""

from typing import Any

from graphql import (
    GraphQLNamedType,
    GraphQLResolveInfo,
    GraphQLSchema,
    assert_object_type,
    is_input_object_type,
)
from strawberry import Schema
from strawberry.types import ExecutionContext


def core_schema(schema: Schema) -> GraphQLSchema:
    """Return graphql-core's schema."""
    return schema._schema  # noqa: SLF001 - it has no public name


def given_operation_name(operation: ExecutionContext) -> str | None:
    """Return the operationName of the request, if it had one."""
    return operation._provided_operation_name  # noqa: SLF001 - the public one falls back


def mend_is_one_of(schema: GraphQLSchema) -> None:
    """Have `isOneOf` told of every type; Strawberry's own resolver fails on most of them."""
    assert_object_type(schema.type_map["__Type"]).fields["isOneOf"].resolve = _is_one_of


def _is_one_of(type_: GraphQLNamedType, _: GraphQLResolveInfo[Any]) -> bool | None:
    return type_.is_one_of if is_input_object_type(type_) else None
