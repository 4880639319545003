"""How operations are executed: as graphql-core does, with a shorter way for plain attributes.

An object's fields that are attributes and nothing else (no resolver, arguments, permissions or
extensions, and of a leaf type) need none of what a resolver needs. In a list they are most of it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple
from uuid import UUID

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    is_leaf_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter

# What a value is of. Anything else may be an error or an awaitable, and is not a value yet.
_PLAIN: Final = frozenset({bool, dict, datetime, float, int, list, str})
_DERIVED: Final = (Enum, UUID)  # asyncpg's UUID is a class of its own
_LEAVES: Final = "leaves"


class Leaf(NamedTuple):
    """A field that is an attribute, what turns it into JSON, and whether it may be None."""

    attribute: str
    to_json: Callable[[Any], Any]
    is_nullable: bool


class Plan(NamedTuple):
    """Which fields of a selection are leaves; the selection is kept, as its id is the key."""

    selection: GroupedFieldSet
    leaves: dict[str, Leaf]
    others: GroupedFieldSet


def prepare_leaves(schema: GraphQLSchema) -> None:
    """Find the schema's leaves by type and field, and leave them to the executor."""
    schema.extensions[_LEAVES] = {
        (type_.name, name): leaf
        for type_ in schema.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if (leaf := _leaf(field))
    }


def _leaf(field: GraphQLField) -> Leaf | None:
    type_ = field.type.of_type if is_non_null_type(field.type) else field.type
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if definition is None or field.args or not is_leaf_type(type_):
        return None
    if not definition.is_basic_field or definition.default_resolver is not getattr:
        return None
    return Leaf(definition.python_name, type_.coerce_output_value, type_ is field.type)


class LeafExecutor(StrawberryGraphQLCoreExecutionContext):
    """Reads leaves directly; an object with anything unusual is left to the stock executor."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as the base has it
        super().__init__(*args, **options)
        self._plans: dict[int, Plan] = {}
        has_middleware = bool(self.middleware_manager and self.middleware_manager.middlewares)
        self._known = {} if has_middleware else self.schema.extensions.get(_LEAVES, {})

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,  # noqa: ANN401 - whatever a resolver returned
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,  # noqa: ANN401 - passed on as it is
    ) -> AwaitableOrValue[dict[str, Any]]:
        """Return the object's answer, with its fields in the order of the selection."""
        plan = self._plan(parent_type, grouped_field_set)
        results: dict[str, Any] = dict.fromkeys(grouped_field_set)
        others = plan.others if _read(plan.leaves, source_value, results) else grouped_field_set
        if not others:
            return results
        rest = super().execute_fields(parent_type, source_value, path, others, position_context)
        if others is grouped_field_set:
            return rest
        if isinstance(rest, dict):
            return results | rest
        return _joined(results, rest)

    def _plan(self, parent_type: GraphQLObjectType, selection: GroupedFieldSet) -> Plan:
        """Return the plan of a selection; all objects of a list share one."""
        plan = self._plans.get(id(selection))
        if plan is None:
            leaves, others = {}, {}
            for name, field in selection.items():
                if leaf := self._known.get((parent_type.name, field[0].node.name.value)):
                    leaves[name] = leaf
                else:
                    others[name] = field
            plan = Plan(selection, leaves, others if leaves else selection)
            self._plans[id(selection)] = plan
        return plan


def _read(leaves: dict[str, Leaf], source: object, results: dict[str, Any]) -> bool:
    """Put the leaves' values into the results; return False if one is not an ordinary value."""
    try:
        for name, (attribute, to_json, is_nullable) in leaves.items():
            value = getattr(source, attribute)
            if value is None and is_nullable:
                continue
            if type(value) not in _PLAIN and not isinstance(value, _DERIVED):
                return False
            value = results[name] = to_json(value)
            if value is None or value is Undefined:
                return False
    except Exception:  # noqa: BLE001 - the stock executor meets it again, and reports it
        return False
    return True


async def _joined(results: dict[str, Any], rest: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return results | await rest
