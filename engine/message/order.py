"""The order in which problems are told: that of the document."""

from collections.abc import Iterable

from engine.errors import FieldError


def in_document_order(payload: object, errors: Iterable[FieldError]) -> list[FieldError]:
    """Return the errors as their values stand in the payload.

    An object's own problem comes before those of its members, a missing member after all others.
    """
    positions = _Positions()
    return sorted(errors, key=lambda error: positions.of(payload, error.path))


class _Positions:
    """Where paths lead. Each object's order of keys is made once: it may hold thousands of them."""

    def __init__(self) -> None:
        self._orders: dict[int, dict[str, int]] = {}

    def of(self, payload: object, path: tuple[str | int, ...]) -> list[int]:
        node, steps = payload, list[int]()
        for step in path:
            if isinstance(node, dict):
                steps.append(self._order_of(node).get(str(step), len(node)))
                node = node.get(step)
            elif isinstance(node, list) and isinstance(step, int):
                steps.append(step)
                node = node[step]
        return steps

    def _order_of(self, node: dict[str, object]) -> dict[str, int]:
        order = self._orders.get(id(node))
        if order is None:
            order = self._orders[id(node)] = {key: index for index, key in enumerate(node)}
        return order
