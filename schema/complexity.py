"""How deep, wide and repetitive operations are, told by their text alone.

Fragments are measured once each, however often they are spread: what is small to write must not be
slow to measure.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TokenKind,
)

MAX_TOKENS: Final = 1_000
"""Names, values, brackets and comments of a document; the standard introspection has 183."""
MAX_DEPTH: Final = 15
"""Fields within fields; those of introspection have a rule of their own in graphql-core."""
MAX_ALIASES: Final = 50
MAX_ROOT_FIELDS: Final = 20
MAX_SAME_NAME: Final = 50
"""Fields that are answered under one name, wherever: validation compares each with each."""
MAX_NAME_CHARS: Final = 100
"""Validation looks what a wrong name is like, in a time by the square of its length."""
MAX_SCHEMAS: Final = 1
MAX_TYPES: Final = 5
"""How often an operation may ask for `__type`; what is in it is not counted otherwise."""

_INTROSPECTION: Final = frozenset({"__schema", "__type"})


def problems(document: DocumentNode) -> Iterator[str]:
    """Yield a sentence for each bound that the document or an operation goes beyond."""
    longest = _longest_name(document)
    if longest > MAX_NAME_CHARS:
        yield f"A name has {longest} characters; at most {MAX_NAME_CHARS} are allowed."
    fragments = fragments_of(document)
    shapes = _Shapes(fragments)
    shared: Counter[str] = Counter()
    for fragment in fragments.values():
        _count_names(fragment.selection_set, shared)
    for operation in operations_of(document):
        names = shared.copy()
        _count_names(operation.selection_set, names)
        shape = shapes.of(operation.selection_set)
        figures = (
            (shape.depth, "levels of fields", MAX_DEPTH),
            (shape.aliases, "aliases", MAX_ALIASES),
            (shape.fields, "fields at its root", MAX_ROOT_FIELDS),
            (max(names.values(), default=0), "fields of one name", MAX_SAME_NAME),
            (shape.schemas, "fields __schema", MAX_SCHEMAS),
            (shape.types, "fields __type", MAX_TYPES),
            (shape.introspection_aliases, "aliases within introspection", 0),
        )
        for figure, what, most in figures:
            if figure > most:
                yield f"The operation has {figure} {what}; at most {most} are allowed."


def _longest_name(document: DocumentNode) -> int:
    longest, token = 0, document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind is TokenKind.NAME:
            longest = max(longest, token.end - token.start)
        token = token.next
    return longest


def _count_names(selected: SelectionSetNode, names: Counter[str]) -> None:
    """Count under which names the text has fields answered; fragments are texts of their own."""
    for node in selected.selections:
        match node:
            case FieldNode():
                names[(node.alias or node.name).value] += 1
                if node.selection_set:
                    _count_names(node.selection_set, names)
            case InlineFragmentNode():
                _count_names(node.selection_set, names)
            case _:
                pass


def operations_of(document: DocumentNode) -> list[OperationDefinitionNode]:
    """Return the document's operations."""
    return [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """Return the document's fragments by their names."""
    definitions = document.definitions
    return {
        node.name.value: node for node in definitions if isinstance(node, FragmentDefinitionNode)
    }


class _Shape(NamedTuple):
    """What a selection set is like with its fragments; `fields` are those of its own level."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0
    schemas: int = 0
    types: int = 0
    introspection_aliases: int = 0

    def beside(self, other: "_Shape") -> "_Shape":
        """Return the shape of both in one selection set."""
        _, *counts = (mine + theirs for mine, theirs in zip(self, other, strict=True))
        return _Shape(max(self.depth, other.depth), *counts)


class _Shapes:
    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._known: dict[str, _Shape] = {}

    def of(self, selected: SelectionSetNode) -> _Shape:
        shape = _Shape()
        for node in selected.selections:
            match node:
                case FieldNode():
                    shape = shape.beside(self._of_field(node))
                case InlineFragmentNode():
                    shape = shape.beside(self.of(node.selection_set))
                case FragmentSpreadNode():
                    shape = shape.beside(self._of_fragment(node.name.value))
                case _:
                    pass
        return shape

    def _of_field(self, node: FieldNode) -> _Shape:
        inside = self.of(node.selection_set) if node.selection_set else _Shape()
        name, aliases = node.name.value, inside.aliases + (node.alias is not None)
        if name not in _INTROSPECTION:
            return inside._replace(depth=1 + inside.depth, aliases=aliases, fields=1)
        return _Shape(
            depth=1,
            aliases=aliases,
            fields=1,
            schemas=int(name == "__schema"),
            types=int(name == "__type"),
            introspection_aliases=inside.aliases,
        )

    def _of_fragment(self, name: str) -> _Shape:
        fragment = self._fragments.get(name)
        if name not in self._known and fragment is not None:
            # Within itself it counts for nothing: validation refuses that anyway.
            self._known[name] = _Shape()
            self._known[name] = self.of(fragment.selection_set)
        return self._known.get(name, _Shape())
