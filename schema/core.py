"""What Strawberry keeps to itself, and we need."""

from graphql import GraphQLSchema
from strawberry import Schema
from strawberry.types import ExecutionContext


def core_schema(schema: Schema) -> GraphQLSchema:
    """Return graphql-core's schema."""
    return schema._schema  # noqa: SLF001 - it has no public name


def given_operation_name(operation: ExecutionContext) -> str | None:
    """Return the operationName of the request, if it had one."""
    return operation._provided_operation_name  # noqa: SLF001 - the public one falls back
