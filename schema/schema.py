"""The schema: the types, and what happens to every operation."""

from typing import Any

import strawberry
from graphql import Executor, GraphQLError, NoSchemaIntrospectionCustomRule, specified_rules
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from schema.context import OperationContext
from schema.core import core_schema, mend_is_one_of
from schema.enums import describe_enums
from schema.errors import presented
from schema.execution import LeafExecutor, prepare_leaves
from schema.extensions import Documents, ReadDocument, RequireKey
from schema.feed import Subscription
from schema.hooks import Hooks
from schema.mutations import Mutation
from schema.operations import CountOperation, OperationNames
from schema.queries import Query
from schema.scalars import SCALARS


class ServiceSchema(strawberry.Schema):
    """A schema whose errors all carry a code, and tell nothing of the inside."""

    async def execute(self, query: str | None, *args: Any, **options: Any) -> ExecutionResult:  # noqa: ANN401 - as the base has it
        """Execute what has one answer; subscriptions take `stream`."""
        options["allowed_operation_types"] = (OperationType.QUERY, OperationType.MUTATION)
        return await super().execute(query, *args, **options)

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> Hooks:
        """Return what calls the extensions' hooks."""
        return Hooks(execution_context, extensions)

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Replace the errors, in the list that the answer is made of, by what clients may see.

        Every error of every transport passes here exactly once, whichever step it comes from.
        """
        context = execution_context.context if execution_context else None
        request_id = context.actor.request_id if isinstance(context, OperationContext) else None
        errors[:] = presented(errors, request_id)


class SilentExecutor(LeafExecutor):
    """Executes without telling names of the schema that a wrong one is near to."""

    @classmethod
    def build(cls, *args: Any, **options: Any) -> list[GraphQLError] | Executor[Any]:  # noqa: ANN401 - as the base has it
        """Build as ever, with suggestions hidden."""
        return super().build(*args, **{**options, "hide_suggestions": True})


def build_schema(*, introspection: bool = True) -> ServiceSchema:
    """Build the schema; without introspection, errors don't suggest names either."""
    rules = (*specified_rules, *(() if introspection else (NoSchemaIntrospectionCustomRule,)))
    names = OperationNames()
    documents = Documents(rules, hide_suggestions=not introspection)
    schema = ServiceSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        extensions=[RequireKey, lambda: ReadDocument(documents), lambda: CountOperation(names)],
        execution_context_class=LeafExecutor if introspection else SilentExecutor,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    describe_enums(core_schema(schema))
    mend_is_one_of(core_schema(schema))
    prepare_leaves(core_schema(schema))
    return schema
