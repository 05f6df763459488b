"""A mapping that never changes: a new one shares everything with the former but what was put over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Layers(Mapping[str, Value], Generic[Value]):
    """Dicts laid over each other, the newest first; none is ever changed after it was laid down.

    `over` merges small layers into their newer neighbours as a log-structured merge tree does (O'Neil et al. 1996), so
    that each layer is at least twice as large as the next newer one: laying down costs the changes times a logarithm,
    amortised, and a look-up a logarithm.
    """

    def __init__(self, layers: tuple[dict[str, Value], ...] = ()) -> None:
        self._layers = layers

    def over(self, changes: dict[str, Value]) -> Layers[Value]:
        """Return a mapping in which `changes` win, which is the caller's no longer; this one stays as it is."""
        if not changes:
            return self
        top, rest = changes, list(self._layers)
        while rest and len(rest[0]) < 2 * len(top):
            top = {**rest.pop(0), **top}
        return Layers((top, *rest))

    def merged(self) -> dict[str, Value]:
        """Return it as one new dict."""
        found: dict[str, Value] = {}
        for layer in reversed(self._layers):
            found.update(layer)
        return found

    def most(self) -> int:
        """Return how many keys there are at most: those of each layer counted by themselves."""
        return sum(len(layer) for layer in self._layers)

    def __getitem__(self, key: str) -> Value:
        for layer in self._layers:
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.merged())

    def __len__(self) -> int:
        return sum(1 for _ in self)
