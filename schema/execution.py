"""How operations are executed: as graphql-core does, with a shorter way for leaves.

Fields of a leaf type that are attributes, or computed at once (no arguments, permissions,
extensions or awaiting), need none of what a resolver needs. In a list they are most of it.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeGuard
from uuid import UUID

from graphql import (
    GraphQLField,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    TypeNameMetaFieldDef,
    is_leaf_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.pyutils import AwaitableOrValue, Path, UndefinedType
from strawberry import Info
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import CustomGraphQLEnumType, GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from schema.listed import Listed
from schema.scalars import COLUMNS

# What a value is of. Anything else may be an error or an awaitable, and is not a value yet.
_PLAIN: Final = frozenset({bool, dict, datetime, float, int, list, str})
_DERIVED: Final = (Enum, UUID)  # asyncpg's UUID is a class of its own
_NOTHING: Final = frozenset({type(None), UndefinedType})
# What these scalars leave as it is.
_JSON: Final = {"Boolean": bool, "ID": str, "String": str}
_LEAVES: Final = "leaves"
_DEFINITION: Final = GraphQLCoreConverter.DEFINITION_BACKREF


class Leaf(NamedTuple):
    """A field that is read from its object, what turns it into JSON, and whether it may be None.

    `read` takes many objects, and returns the value of each.
    `takes_info` names the argument by which its resolver gets Strawberry's info, if it does.
    `to_json` takes the values of many objects, none of them None; those of `json_type` are JSON.
    """

    field: GraphQLField
    read: Callable[..., list[Any]]
    takes_info: str | None
    to_json: Callable[[Sequence[Any]], Iterable[Any]]
    json_type: type | None
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
        if isinstance(type_, GraphQLObjectType) and _DEFINITION in type_.extensions
        for name, leaf in _leaves(type_)
    }


def _leaves(type_: GraphQLObjectType) -> Iterator[tuple[str, Leaf]]:
    for name, field in type_.fields.items():
        if leaf := _leaf(field):
            yield name, leaf
    # Clients with a cache ask for it everywhere.
    names = partial(_type_names, type_.name)
    yield "__typename", Leaf(TypeNameMetaFieldDef, names, None, partial(map, str), str, False)


def _leaf(field: GraphQLField) -> Leaf | None:
    type_ = field.type.of_type if is_non_null_type(field.type) else field.type
    definition = field.extensions.get(_DEFINITION)
    if definition is None or field.args or not is_leaf_type(type_):
        return None
    takes_info = None
    if definition.is_basic_field and definition.default_resolver is getattr:
        read = partial(_attributes, definition.python_name)
    elif _is_computed_at_once(definition):
        read = partial(_computed, definition.base_resolver.wrapped_func)
        info = definition.base_resolver.info_parameter
        takes_info = info and info.name
    else:
        return None
    to_json, json_type = _to_json(type_), _JSON.get(type_.name)
    return Leaf(field, read, takes_info, to_json, json_type, type_ is field.type)


def _attributes(name: str, objects: Sequence[object]) -> list[Any]:
    if isinstance(objects, Listed):
        return objects.column(name)
    return list(map(attrgetter(name), objects))


def _computed(function: Callable[..., Any], objects: Sequence[object], **info: Info) -> list[Any]:
    return [function(each, **info) for each in objects]


def _type_names(name: str, objects: Sequence[object]) -> list[Any]:
    return [name] * len(objects)


def _to_json(type_: GraphQLLeafType) -> Callable[[Sequence[Any]], Iterable[Any]]:
    one = type_.coerce_output_value
    if isinstance(type_, CustomGraphQLEnumType):
        # Its own way looks through all values, each time.
        members: Iterable[Enum] = type_.wrapped_cls
        one = {member: one(member) for member in members}.__getitem__
    return COLUMNS.get(type_.name) or partial(map, one)


def _is_computed_at_once(definition: StrawberryField) -> bool:
    resolver = definition.base_resolver
    if resolver is None or resolver.self_parameter is None or resolver.is_async:
        return False
    return not (definition.extensions or definition.permission_classes)


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
        plan = self._plan(parent_type, grouped_field_set, path)
        answers = _read(plan.leaves, [source_value]) if plan.leaves else None
        if answers is None:
            return super().execute_fields(
                parent_type, source_value, path, grouped_field_set, position_context
            )
        if not plan.others:
            return answers[0]
        rest = super().execute_fields(
            parent_type, source_value, path, plan.others, position_context
        )
        results = dict[str, Any].fromkeys(grouped_field_set) | answers[0]
        return results | rest if isinstance(rest, dict) else _joined(results, rest)

    def complete_iterable_value(  # noqa: PLR0917 - the base's
        self,
        item_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,  # noqa: ANN401 - passed on as it is
    ) -> AwaitableOrValue[list[Any]]:
        """Return the list's answer; one of objects with nothing but leaves is read at once."""
        answers = self._read_list(item_type, field_details_list, path, items)
        if answers is not None:
            return answers
        return super().complete_iterable_value(
            item_type, field_details_list, info, path, items, position_context
        )

    def _read_list(
        self,
        item_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        path: Path,
        items: Iterable[Any],
    ) -> list[dict[str, Any]] | None:
        """Return the answers of the objects, None if any of them needs the stock executor."""
        type_ = item_type.of_type if is_non_null_type(item_type) else item_type
        if not isinstance(type_, GraphQLObjectType) or type_.is_type_of:
            return None
        if not _are_all_of(items, type_) or self.get_stream_usage(field_details_list, path):
            return None
        selection, deferred, _ = self.collect_subfields(type_, field_details_list)
        plan = self._plan(type_, selection, path)
        if deferred or plan.others:
            return None
        return _read(plan.leaves, items)

    def _plan(
        self, parent_type: GraphQLObjectType, selection: GroupedFieldSet, path: Path | None
    ) -> Plan:
        """Return the plan of a selection; all objects of a list share one."""
        plan = self._plans.get(id(selection))
        if plan is None:
            leaves, others = {}, {}
            for name, field in selection.items():
                if leaf := self._known.get((parent_type.name, field[0].node.name.value)):
                    leaves[name] = self._with_info(leaf, parent_type, field, path)
                else:
                    others[name] = field
            plan = Plan(selection, leaves, others)
            self._plans[id(selection)] = plan
        return plan

    def _with_info(
        self,
        leaf: Leaf,
        parent_type: GraphQLObjectType,
        field: FieldDetailsList,
        path: Path | None,
    ) -> Leaf:
        """Return the leaf with the info that its resolver takes: one for all objects of a list."""
        if leaf.takes_info is None or path is None:
            return leaf
        nodes = [details.node for details in field]
        raw = self.build_resolve_info(leaf.field, nodes, parent_type, path)
        definition = leaf.field.extensions[_DEFINITION]
        info = Info(_raw_info=raw, _field=definition)
        return leaf._replace(read=partial(leaf.read, **{leaf.takes_info: info}))


def _read(leaves: dict[str, Leaf], objects: Sequence[object]) -> list[dict[str, Any]] | None:
    """Return the objects' answers; None if a value is not an ordinary one.

    All objects' values of one leaf are read and turned into JSON together, which leaves most of
    the work to functions written in C.
    """
    answers: list[dict[str, Any]] = [{} for _ in range(len(objects))]
    try:
        for name, leaf in leaves.items():
            for answer, value in zip(answers, _column(leaf, objects), strict=True):
                answer[name] = value
    except Exception:  # noqa: BLE001 - the stock executor meets it again, and reports it
        return None
    return answers


def _column(leaf: Leaf, objects: Sequence[object]) -> list[Any]:
    """Return the objects' values of the leaf as JSON; raise what keeps one from being that."""
    values = leaf.read(objects)
    if not leaf.is_nullable:
        return _as_json(leaf, values)
    there = iter(_as_json(leaf, [value for value in values if value is not None]))
    return [None if value is None else next(there) for value in values]


def _as_json(leaf: Leaf, values: list[Any]) -> list[Any]:
    types = set(map(type, values))
    if types == {leaf.json_type}:
        return values
    if not all(type_ in _PLAIN or issubclass(type_, _DERIVED) for type_ in types):
        raise TypeError("this may be an error or an awaitable")
    answers = list(leaf.to_json(values))
    if not _NOTHING.isdisjoint(map(type, answers)):
        raise TypeError("this is null for its scalar")
    return answers


def _are_all_of(
    items: Iterable[object], type_: GraphQLObjectType
) -> TypeGuard[list[object] | Listed[object]]:
    definition = type_.extensions.get(_DEFINITION)
    if definition is None:
        return False
    if isinstance(items, Listed):
        return items.kind is definition.origin
    return isinstance(items, list) and all(type(item) is definition.origin for item in items)


async def _joined(results: dict[str, Any], rest: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return results | await rest
