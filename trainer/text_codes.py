"""Small whole numbers for texts, in the order in which they first come: what samples are counted and kept by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from contracts.arrays import Doubles, Integers

Numbers = TypeVar("Numbers", Integers, Doubles)


class TextCodes(dict[str | None, int]):
    """Codes by text, from 0 on; a text that is asked for and has none gets the next one."""

    def __init__(self, texts: Iterable[str | None] = ()) -> None:
        super().__init__((text, code) for code, text in enumerate(texts))

    def __missing__(self, text: str | None) -> int:
        code = self[text] = len(self)
        return code

    def of(self, texts: Sequence[str] | Sequence[str | None]) -> Integers:
        """Return the codes of texts, int64 [n]."""
        return np.fromiter(map(self.__getitem__, texts), np.int64, len(texts))

    def texts(self) -> list[str]:
        """Return the texts in the order of their codes."""
        return [text for text in self if text is not None]


def grown(array: Numbers, size: int) -> Numbers:
    """Return the array with zeros behind it, so that it has at least `size` entries; by doubling, seldom a copy."""
    if len(array) >= size:
        return array
    longer = np.zeros(max(size, 2 * len(array)), array.dtype)
    longer[: len(array)] = array
    return longer
