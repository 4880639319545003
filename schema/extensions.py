"""What happens to every operation besides its resolvers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog
from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    parse,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from schema.complexity import MAX_TOKENS, operations_of, problems
from schema.context import OperationContext
from schema.core import core_schema, given_operation_name
from schema.cost import Cost, cost_problem, costs
from schema.errors import ErrorCode, api_error, too_complex
from setting_types import KeyRole

REMEMBERED: Final = 256
# Some errors take long to word; who made so many mistakes has enough to correct.
MAX_ERRORS: Final = 20
# A longer text is parsed each time: what is kept must not grow with what clients send.
MAX_REMEMBERED_CHARS: Final = 20_000
MAX_LOGGED_NAME_CHARS: Final = 100
# Python reads no integer of thousands of digits.
TOO_MANY_DIGITS: Final = "A number in the document has too many digits."
NAME_MISSING: Final = "The document has several operations; operationName must name one of them."


class Document(NamedTuple):
    """What was parsed, what is wrong with it, and the operations there are to choose from.

    `costs` are those of the operations by their names, when nothing is wrong.
    """

    parsed: DocumentNode
    errors: tuple[GraphQLError, ...] = ()
    operations: int = 1
    costs: Mapping[str | None, Cost] = MappingProxyType({})


class Documents:
    """Parses and validates the texts of operations; clients send the same ones again and again."""

    def __init__(self, rules: Sequence[type[ASTValidationRule]], *, hide_suggestions: bool) -> None:
        self._rules = rules
        self._hide_suggestions = hide_suggestions
        self._remembered: Callable[[GraphQLSchema, str], Document] = lru_cache(REMEMBERED)(
            self._read
        )

    def read(self, schema: GraphQLSchema, text: str) -> Document:
        """Return the document; raises GraphQLError for a syntax error or too many tokens."""
        is_short = len(text) <= MAX_REMEMBERED_CHARS
        return self._remembered(schema, text) if is_short else self._read(schema, text)

    def _read(self, schema: GraphQLSchema, text: str) -> Document:
        parsed = parse(text, max_tokens=MAX_TOKENS)
        # Validation is slow where an operation is too complex.
        errors = [too_complex(problem) for problem in problems(parsed)] or self._validate(
            schema, parsed
        )
        return Document(
            parsed,
            tuple(errors),
            len(operations_of(parsed)),
            {} if errors else costs(schema, parsed),
        )

    def _validate(self, schema: GraphQLSchema, parsed: DocumentNode) -> list[GraphQLError]:
        found = validate(
            schema, parsed, self._rules, MAX_ERRORS, hide_suggestions=self._hide_suggestions
        )
        return [_of_client(error) for error in found]


def _of_client(error: GraphQLError) -> GraphQLError:
    """Return an error of validation as one of the client's, whatever a scalar raised."""
    if isinstance(error.original_error, ValueError):
        return GraphQLError(TOO_MANY_DIGITS, error.nodes)
    return error


class ReadDocument(SchemaExtension):
    """Give the operation its parsed and validated document."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._document: Document | None = None

    def on_parse(self) -> Iterator[None]:
        """Read the document; a syntax error is left to Strawberry, which reports it properly."""
        operation = self.execution_context
        operation.parse_options["max_tokens"] = MAX_TOKENS
        with suppress(GraphQLError):
            schema = core_schema(operation.schema)
            self._document = self._documents.read(schema, operation.query or "")
            operation.graphql_document = self._document.parsed
        yield

    def on_validate(self) -> Iterator[None]:
        """Report what is wrong; the list is a new one, since it is changed later."""
        operation = self.execution_context
        if self._document is not None:
            operation.pre_execution_errors = list(self._document.errors)
            # Strawberry takes the first operation when none is named; GraphQL forbids that.
            if given_operation_name(operation) is None and self._document.operations > 1:
                operation.pre_execution_errors.append(GraphQLError(NAME_MISSING))
            else:
                operation.pre_execution_errors += self._too_costly(self._document)
        yield

    def _too_costly(self, document: Document) -> Iterator[GraphQLError]:
        operation = self.execution_context
        cost = document.costs.get(operation.operation_name)
        if cost and (problem := cost_problem(cost.of(operation.variables or {}))):
            yield too_complex(problem)


class RequireKey(SchemaExtension):
    """Let nothing be executed without a key, and no mutation with a key that only reads.

    HTTP has refused a missing key long before; this holds for every other way in as well.
    """

    def on_execute(self) -> Iterator[None]:
        """Raise UNAUTHENTICATED or FORBIDDEN before the first resolver runs."""
        operation = self.execution_context
        context: OperationContext = operation.context
        if context.principal is None:
            raise api_error(ErrorCode.UNAUTHENTICATED, "The API key is missing or wrong.")
        is_mutation = operation.operation_type is OperationType.MUTATION
        if is_mutation and context.principal.role is not KeyRole.ADMIN:
            raise api_error(
                ErrorCode.FORBIDDEN, f"The key {context.principal.name} may read, not change."
            )
        if operation.operation_name:
            name = operation.operation_name[:MAX_LOGGED_NAME_CHARS]
            structlog.contextvars.bind_contextvars(operation=name)
        yield
