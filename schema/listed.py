"""Lists whose objects are made when somebody asks for them; most only want their columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias, TypeVar, overload

T = TypeVar("T")

Columns: TypeAlias = Mapping[str, Sequence[Any]]
"""The values of many rows, by the names of the API type's Python fields."""
Decoders: TypeAlias = Mapping[str, Callable[[Any], Any]]
"""What makes the type's value of the database's, where these differ."""


class Listed(Sequence[T]):
    """Objects of one type of the API, kept as the columns that the database returned."""

    def __init__(self, kind: type[T], columns: Columns, decoders: Decoders) -> None:
        self.kind = kind
        self._columns = columns
        self._decoders = decoders

    def column(self, name: str) -> list[Any]:
        """Return all objects' values of an attribute."""
        values = self._columns[name]
        return list(map(self._decoders[name], values) if name in self._decoders else values)

    @cached_property
    def _objects(self) -> list[T]:
        columns = [self.column(name) for name in self._columns]
        return [
            self.kind(**dict(zip(self._columns, values, strict=True)))
            for values in zip(*columns, strict=True)
        ]

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._objects[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))


def columns_of(names: Sequence[str], records: Sequence[Iterable[Any]]) -> Columns:
    """Return the columns of the database's records, which have the values in the names' order."""
    if not records:
        return dict.fromkeys(names, ())
    return dict(zip(names, zip(*records, strict=True), strict=True))


def member_of(enum: type[StrEnum]) -> Callable[[str], StrEnum]:
    """Return what finds the enum's member; asking the class for it takes longer."""
    return {member.value: member for member in enum}.__getitem__
