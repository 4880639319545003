"""How deep and wide operations are, told by their text alone.

Fragments are measured once each, however often they are spread: what is small to write must not be
slow to measure.
"""

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
)

MAX_TOKENS: Final = 1_000
"""Names, values, brackets and comments of a document; the standard introspection has 183."""
MAX_DEPTH: Final = 15
"""Fields within fields; those of introspection have a rule of their own in graphql-core."""
MAX_ALIASES: Final = 50
MAX_ROOT_FIELDS: Final = 20

_INTROSPECTION: Final = frozenset({"__schema", "__type"})


def problems(document: DocumentNode) -> Iterator[str]:
    """Yield a sentence for each bound that an operation goes beyond."""
    shapes = _Shapes(fragments_of(document))
    for operation in operations_of(document):
        shape = shapes.of(operation.selection_set)
        figures = (
            (shape.depth, "levels of fields", MAX_DEPTH),
            (shape.aliases, "aliases", MAX_ALIASES),
            (shape.fields, "fields at its root", MAX_ROOT_FIELDS),
        )
        for figure, what, most in figures:
            if figure > most:
                yield f"The operation has {figure} {what}; at most {most} are allowed."


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


class _Shapes:
    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._known: dict[str, _Shape] = {}

    def of(self, selected: SelectionSetNode) -> _Shape:
        depth = aliases = fields = 0
        for node in selected.selections:
            match node:
                case FieldNode():
                    inside = self.of(node.selection_set) if node.selection_set else _Shape()
                    is_counted = node.name.value not in _INTROSPECTION
                    part = _Shape(
                        depth=1 + inside.depth if is_counted else 1,
                        aliases=inside.aliases + (node.alias is not None),
                        fields=1,
                    )
                case InlineFragmentNode():
                    part = self.of(node.selection_set)
                case FragmentSpreadNode():
                    part = self._of_fragment(node.name.value)
                case _:
                    part = _Shape()
            depth = max(depth, part.depth)
            aliases += part.aliases
            fields += part.fields
        return _Shape(depth, aliases, fields)

    def _of_fragment(self, name: str) -> _Shape:
        fragment = self._fragments.get(name)
        if name not in self._known and fragment is not None:
            # Within itself it counts for nothing: validation refuses that anyway.
            self._known[name] = _Shape()
            self._known[name] = self.of(fragment.selection_set)
        return self._known.get(name, _Shape())
