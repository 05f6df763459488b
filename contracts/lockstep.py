"""Reads features out of many serialized Examples at once: one step in all of them, then the next step.

Each step expects what `contracts.example` writes there. A record that has something else, or something long, is no
longer `ok`: where the reader stands in it means nothing from then on, and it has to be read another way.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from contracts.example import NUMBER, TAG, TEXT, VALUE_TAG, field, opening

Ints = NDArray[np.int64]
Octets = NDArray[np.uint8]
Voids = NDArray[np.void]

_ONE_BYTE = 127  # the longest entry whose lengths are all of one byte
_WIDEST = 10  # bytes of a 64-bit varint

PADDING = bytes(64)  # more than any step looks ahead


class Lockstep:
    """Stands at byte `at` in each of some records of `data`, which has to end with `PADDING`."""

    def __init__(self, data: Octets, at: Ints) -> None:
        self.data = data
        self.at = at
        self.ok = np.ones(len(at), np.bool_)

    def expect(self, constant: bytes) -> None:
        """Step over `constant`."""
        self.ok &= self._peek(len(constant)) == np.frombuffer(constant, f"V{len(constant)}")
        self.at = self.at + len(constant)

    def end(self) -> Ints:
        """Step over a length of one or two bytes; return where what is that long ends."""
        first, second = _octets(self._peek(2)).astype(np.int64).T
        wide = first > _ONE_BYTE
        self.ok &= ~wide | (second <= _ONE_BYTE)
        self.at = self.at + 1 + wide
        ends: Ints = self.at + np.where(wide, first & _ONE_BYTE | second << 7, first)
        return ends

    def value(self, name: str, kind: int) -> tuple[Ints, Ints]:
        """Step over a feature with one value; return where its bytes start and end."""
        openings = _openings(name, kind)
        found = self._peek(openings.itemsize)
        length = _octets(found)[:, -1].astype(np.int64)
        self.ok &= found == openings.take(length, mode="clip")
        start = self.at + openings.itemsize
        self.at = start + length
        return start, self.at

    def number(self, name: str) -> Ints:
        """Step over a feature with one number; return the numbers."""
        start, end = self.value(name, NUMBER)
        length = np.where(self.ok, end - start, 1)
        place = np.arange(length.max(initial=1))
        octets = _octets(_peek(self.data, start, len(place)))
        last, inside = place == length[:, np.newaxis] - 1, place < length[:, np.newaxis]
        self.ok &= (last | ~inside | (octets > _ONE_BYTE)).all(axis=1) & ~(last & (octets > _ONE_BYTE)).any(axis=1)
        self.ok &= (length > 0) & ((length < _WIDEST) | (octets[:, -1] <= 1))  # 64 bits, no more
        groups = np.where(inside, octets & _ONE_BYTE, 0).astype(np.uint64) << (7 * place).astype(np.uint64)
        numbers: Ints = np.bitwise_or.reduce(groups, axis=1).view(np.int64)
        return numbers

    def list(self, name: str) -> tuple[Ints, Ints]:
        """Step over a feature that is a list of texts; return where the list starts and ends.

        Where the next feature has a name of another length, nothing is stepped over, and the list is empty.
        """
        key, start, end = name.encode(), self.at.copy(), self.at.copy()
        ahead = _octets(self._peek(5)).T
        rows = np.flatnonzero(np.where(ahead[1] > _ONE_BYTE, ahead[4], ahead[3]) == len(key))
        part = Lockstep(self.data, self.at[rows])
        part.expect(TAG)
        entry_end = part.end()
        part.expect(field(len(key)) + key + VALUE_TAG)
        feature_end = part.end()
        part.expect(bytes([TEXT << 3 | 2]))
        list_end = part.end()
        self.ok[rows] &= part.ok & (entry_end == list_end) & (feature_end == list_end)
        start[rows], end[rows] = part.at, list_end
        self.at = end
        return start, end

    def texts(self, lists: tuple[Ints, Ints]) -> tuple[Ints, Ints, Ints]:
        """Return how many texts the list of each record has, and where each of them starts and ends, list by list."""
        at, end = lists[0].copy(), lists[1]
        counts, found = np.zeros(len(at), np.int64), list[Ints]()
        rows = np.flatnonzero(self.ok & (at < end))
        while len(rows):
            tag, length = _octets(_peek(self.data, at[rows], 2)).astype(np.int64).T
            start = at[rows] + 2
            good = (tag == TAG[0]) & (length <= _ONE_BYTE) & (start + length <= end[rows])
            self.ok[rows[~good]] = False
            rows = rows[good]
            found.append(np.stack([rows, start[good], (start + length)[good]]))
            counts[rows] += 1
            at[rows] = found[-1][2]
            rows = rows[at[rows] < end[rows]]
        row, start, stop = np.concatenate([np.empty((3, 0), np.int64), *found], axis=1)
        order = np.argsort(row, kind="stable")
        order = order[self.ok[row[order]]]
        return np.where(self.ok, counts, 0), start[order], stop[order]

    def features(self, prefix: str) -> tuple[Ints, Ints]:
        """Step over the features whose names begin so; return where the first one starts and the last one ends.

        Names and lengths in between are not checked: what is found there has to be parsed.
        """
        start, end = self.at, self.at.copy()
        rows, begin = np.arange(len(end)), np.frombuffer(prefix.encode(), np.uint8)
        while len(rows):
            ahead = _octets(_peek(self.data, end[rows], 4 + len(begin)))
            fits = (ahead[:, 4:] == begin).all(axis=1)
            rows = rows[fits]
            end[rows] += 2 + ahead[fits, 1].astype(np.int64)
        self.at = end
        return start, end

    def _peek(self, width: int) -> Voids:
        return _peek(self.data, self.at, width)


def _peek(data: Octets, at: Ints, width: int) -> Voids:
    """Return the `width` bytes from each `at` on, which may be beyond the end: there are zeros."""
    windows = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
    return windows[np.minimum(at, len(windows) - 1)]


def _octets(voids: Voids) -> Octets:
    return voids.view(np.uint8).reshape(len(voids), voids.itemsize)


@functools.cache
def _openings(name: str, kind: int) -> Voids:
    """Return what stands before a value of 0, 1, ... bytes, as long as each length in it is one byte."""
    width = len(opening(name, kind, 0))
    most = _WIDEST if kind == NUMBER else _ONE_BYTE + 2 - width
    return np.frombuffer(b"".join(opening(name, kind, length) for length in range(most + 1)), f"V{width}")
