"""What an operation costs: the rows it reads and the fields of its answer, each item by itself.

How long a list gets is said by the argument `limit`, `first` or `count` of the field, or of the
field right above, whose page it is, and whose rows are read whether it is asked for or not:
tasks(limit: 50) { data { id name } } costs 1 + 50 + 1 + 50 * 2. What is large or slow costs more;
what one statement does for all items of a list, such as counting, costs that once.
"""

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Final, NamedTuple, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    NameNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)

from schema.arguments import MAX_LIMIT
from schema.complexity import fragments_of, operations_of

MAX_COST: Final = 10_000
STATEMENT_COST: Final = 500
"""What a statement costs that may walk over all rows of a table."""
ROLLED_UP_COST: Final = 100
"""What it costs if roll-ups say most of it, as for totals and far pages of logs, the dashboard."""
NEAR_PAGES: Final = 10
"""A page further than these makes the database pass over many rows before it."""

_LENGTHS: Final = ("limit", "first", "count")
_PAGE: Final = "page"
# Rows are counted for every object of these types.
_COUNTED: Final = frozenset({"PageMeta", "DashboardStats", "EngineStatus"})
_ROLLED_UP: Final = frozenset({"TaskLogPage", "DashboardStats"})
# For each of their values: a whole message, up to 2,000 characters, a schedule worked out.
_WEIGHTS: Final[Mapping[str, int]] = {
    "payload": 20,
    "changes": 20,
    "message": 5,
    "statusReason": 5,
    "nextRuns": 4,
    "nextRunAt": 4,
}


class Variable(NamedTuple):
    """A length that a variable says; `default` when it isn't given."""

    name: str
    default: int

    def among(self, variables: Mapping[str, object]) -> int:
        """Return the length with these variables; what is no number is refused later."""
        given = variables.get(self.name)
        return _length(given) if isinstance(given, int | float) else self.default


class Statement(NamedTuple):
    """A factor for a statement that costs the same in a list of any length.

    It is 1 if the page is a far one, which a variable may say; else 0.
    """

    page: int = NEAR_PAGES + 1
    variable: str = ""

    def among(self, variables: Mapping[str, object]) -> int:
        """Return whether it has to be paid with these variables."""
        given = variables.get(self.variable)
        return int((given if isinstance(given, int | float) else self.page) > NEAR_PAGES)


Length: TypeAlias = int | Variable
# How often each product of variables occurs; the empty one is 1.
_Sum: TypeAlias = Counter[tuple[Variable | Statement, ...]]
_A_STATEMENT: Final = (Statement(),)


class Cost:
    """What one operation costs: worked out once, for any variables."""

    def __init__(self, terms: _Sum) -> None:
        self._terms = tuple(terms.items())

    def of(self, variables: Mapping[str, object]) -> int:
        """Return the cost with these variables."""
        return sum(
            times * prod(factor.among(variables) for factor in product)
            for product, times in self._terms
        )


def costs(schema: GraphQLSchema, document: DocumentNode) -> Mapping[str | None, Cost]:
    """Return what each operation of a valid document costs, by the operation's name."""
    fragments = fragments_of(document)
    return {
        operation.name.value if operation.name else None: Cost(
            _Sums(schema, operation, fragments).total()
        )
        for operation in operations_of(document)
    }


def cost_problem(cost: int) -> str | None:
    """Return a sentence if it costs too much."""
    if cost <= MAX_COST:
        return None
    return (
        f"The operation costs {cost}; at most {MAX_COST} is allowed. Ask for shorter lists, "
        "fewer lists within lists, fewer totals or nearer pages."
    )


class _Sums:
    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._fragments = fragments
        self._known: dict[tuple[str, Length], _Sum] = {}
        self._defaults = {
            defined.variable.name.value: _number(defined.default_value)
            for defined in operation.variable_definitions or ()
            if isinstance(defined.default_value, IntValueNode)
        }

    def total(self) -> _Sum:
        root = self._schema.get_root_type(self._operation.operation)
        return self._of(root, self._operation.selection_set, 1)

    def _of(
        self, parent: GraphQLNamedType | None, selected: SelectionSetNode, length: Length
    ) -> _Sum:
        """Return the cost of a selection set; `length` is that of lists right in it."""
        total: _Sum = Counter()
        for node in selected.selections:
            match node:
                case FieldNode():
                    total.update(self._of_field(parent, node, length))
                case InlineFragmentNode(type_condition=on):
                    kind = self._schema.get_type(on.name.value) if on else parent
                    total.update(self._of(kind, node.selection_set, length))
                case FragmentSpreadNode():
                    total.update(self._of_fragment(node.name.value, length))
                case _:
                    pass
        return total

    def _of_fragment(self, name: str, length: Length) -> _Sum:
        key = name, length
        if key not in self._known:
            fragment = self._fragments[name]
            kind = self._schema.get_type(fragment.type_condition.name.value)
            self._known[key] = self._of(kind, fragment.selection_set, length)
        return self._known[key]

    def _of_field(self, parent: GraphQLNamedType | None, node: FieldNode, length: Length) -> _Sum:
        name = node.name.value
        field = self._schema.get_field(parent, name) if is_composite_type(parent) else None
        if field is None:
            return Counter({(): 1})
        total = self._of_statements(parent, field, node)
        weight = _WEIGHTS.get(name, 1)
        is_list, said = is_list_type(get_nullable_type(field.type)), self._said(field, node)
        inside: _Sum = Counter({(): weight * is_list})
        if node.selection_set:
            below = 1 if is_list or said is None else said
            inside = self._of(get_named_type(field.type), node.selection_set, below)
        total[()] += 1 if is_list else weight
        total.update(_multiplied(inside, said or length) if is_list else inside)
        if said is not None and not is_list:
            total.update(_multiplied(Counter({(): 1}), said))
        return total

    def _of_statements(
        self, parent: GraphQLNamedType | None, field: GraphQLField, node: FieldNode
    ) -> _Sum:
        """Return the cost of what is counted for the field, and of passing over pages."""
        total: _Sum = Counter()
        kinds = {get_named_type(each).name for each in (parent, field.type) if each}
        cost = ROLLED_UP_COST if kinds & _ROLLED_UP else STATEMENT_COST
        if get_named_type(field.type).name in _COUNTED:
            total[_A_STATEMENT] += cost
        if _PAGE in field.args:
            match _argument(node, _PAGE):
                case IntValueNode() as literal:
                    total[(Statement(_number(literal)),)] += cost
                case VariableNode(name=NameNode(value=variable)):
                    default = self._defaults.get(variable, 1)
                    total[(Statement(default, variable),)] += cost
                case _:
                    pass
        return total

    def _said(self, field: GraphQLField, node: FieldNode) -> Length | None:
        """Return the length that the field's argument says, or None if it has no such argument."""
        name = next((name for name in _LENGTHS if name in field.args), None)
        if name is None:
            return None
        default = _length(field.args[name].default_value)
        match _argument(node, name):
            case IntValueNode() as literal:
                return _length(_number(literal))
            case VariableNode(name=NameNode(value=variable)):
                return Variable(variable, _length(self._defaults.get(variable, default)))
            case _:
                return default


def _multiplied(amount: _Sum, length: Length) -> _Sum:
    """Return the sum with everything `length` times, except for what one statement does."""
    total: _Sum = Counter()
    for product, times in amount.items():
        variables = [factor for factor in product if isinstance(factor, Variable)]
        if len(variables) < len(product):
            total[product] += times
        elif isinstance(length, int):
            total[product] += times * length
        else:
            total[tuple(sorted((*variables, length)))] += times
    return total


def _argument(node: FieldNode, name: str) -> ValueNode | None:
    return next((each.value for each in node.arguments or () if each.name.value == name), None)


def _number(node: IntValueNode) -> int:
    # Python refuses to read numbers of thousands of digits.
    return int(node.value[:10])


def _length(number: object) -> int:
    """Return how long the list gets: resolvers refuse what is out of their range."""
    return int(max(1, min(number, MAX_LIMIT))) if isinstance(number, int | float) else MAX_LIMIT
