"""Named arrays as one safetensors file, with columns of text: the data files of bases and deltas.

A text column `name` is stored as `name.text` (uint8, UTF-8 of all values joined) and `name.ends` (int64, where each
ends). No pickle anywhere; reading checks shapes and bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, overload

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from contracts.errors import Corrupt

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Column = Sequence[str] | Array

TEXTS_AT_ONCE = 1 << 16


def pack(columns: dict[str, Column]) -> bytes:
    """Return one safetensors file; text columns are sequences of `str`. The same columns give the same bytes."""
    arrays: dict[str, Array] = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            arrays[name] = np.ascontiguousarray(column)
        else:
            data, lengths = _joined(column)
            arrays[name + ".text"] = np.frombuffer(data, dtype=np.uint8)
            arrays[name + ".ends"] = np.cumsum(lengths, dtype=np.int64)
    return bytes(safetensors.numpy.save(arrays))


def _joined(texts: Sequence[str]) -> tuple[bytes, list[int]]:
    """Return texts in UTF-8, one after the other, and the bytes of each."""
    whole = "".join(texts)
    return whole.encode(), list(map(len, texts if whole.isascii() else [text.encode() for text in texts]))


class TextColumn(Sequence[str]):
    """A text column that is decoded where it is looked at: a slice costs what it holds. UTF-8 and bounds are checked.

    `blob`: the texts' bytes, one after the other; `ends`: int64 [n], where each ends. Raises `ValueError` for neither.
    """

    def __init__(self, blob: bytes, ends: Integers) -> None:
        self.blob, self.ends = blob, ends
        self._starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
        if np.any(ends < self._starts) or (int(ends[-1]) if len(ends) else 0) != len(blob):
            raise ValueError("its ends")
        self._text = blob.decode() if blob.isascii() else ""
        if not blob.isascii():
            blob.decode()
            inner = self._starts[self._starts < len(blob)]
            if np.any((np.frombuffer(blob, np.uint8)[inner] & 0xC0) == 0x80):
                raise ValueError("an end within a character")

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        """Return one text, or those of a slice."""
        if isinstance(at, int):
            return self[at : at + 1 or None][0]
        spans = zip(self._starts[at].tolist(), self.ends[at].tolist(), strict=True)
        if self._text:
            text = self._text
            return [text[start:end] for start, end in spans]
        return [self.blob[start:end].decode() for start, end in spans]

    def coded(self) -> tuple[Integers, list[str]]:
        """Return it as codes, int64 [n], and the distinct texts that they are positions of.

        For columns of many equal texts: they are never all in memory.
        """
        known: dict[str, int] = {}
        spans = (slice(at, at + TEXTS_AT_ONCE) for at in range(0, len(self), TEXTS_AT_ONCE))
        parts = [np.array([known.setdefault(text, len(known)) for text in self[span]]) for span in spans]
        return np.concatenate([np.zeros(0, np.int64), *parts]), list(known)

    def chosen(self, at: Integers) -> TextColumn:
        """Return the column of the texts at some positions, int64 [m], in that order."""
        picked, ends = sliced(np.frombuffer(self.blob, np.uint8), self._starts[at], self.ends[at])
        return TextColumn(picked.tobytes(), ends)

    def joined(self, others: Sequence[TextColumn]) -> TextColumn:
        """Return this column and others behind it as one."""
        every = [self, *others]
        offsets = np.cumsum([0, *(len(each.blob) for each in every[:-1])], dtype=np.int64)
        ends = [each.ends + offset for each, offset in zip(every, offsets.tolist(), strict=True)]
        return TextColumn(b"".join(each.blob for each in every), np.concatenate(ends))


def sliced(values: npt.NDArray[Any], starts: Integers, ends: Integers) -> tuple[npt.NDArray[Any], Integers]:
    """Return `values` [start, end) of each pair, one after the other, and where each ends now, int64."""
    lengths = ends - starts
    new_ends = np.cumsum(lengths, dtype=np.int64)
    total = int(new_ends[-1]) if len(new_ends) else 0
    within = np.arange(total, dtype=np.int64) - np.repeat(new_ends - lengths, lengths)
    return values[np.repeat(starts, lengths) + within], new_ends


class Arrays:
    """A read safetensors file; every access checks what it returns. Raises `Corrupt` naming `what`."""

    def __init__(self, data: bytes, what: str) -> None:
        self._what = what
        try:
            self._arrays = safetensors.numpy.load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise Corrupt(what, f"its header ({error})") from None

    @property
    def names(self) -> set[str]:
        """The names of all arrays, a text column's two among them."""
        return set(self._arrays)

    def texts(self, name: str) -> list[str]:
        """Return a text column."""
        return self.text_column(name)[:]

    def text_column(self, name: str) -> TextColumn:
        """Return a text column of which nothing is decoded yet."""
        ends = self._typed(name + ".ends", np.int64, 1)
        try:
            return TextColumn(self._typed(name + ".text", np.uint8, 1).tobytes(), cast(Integers, ends))
        except ValueError:  # UnicodeDecodeError
            raise Corrupt(self._what, f"column {name}") from None

    def coded_texts(self, name: str) -> tuple[Integers, list[str]]:
        """Return a text column as `TextColumn.coded` does."""
        return self.text_column(name).coded()

    def floats(self, name: str, *shape: int) -> Floats:
        """Return a float32 array of `shape` (-1: any length)."""
        return cast(Floats, self._shaped(name, np.float32, shape))

    def doubles(self, name: str, *shape: int) -> Doubles:
        """Return a float64 array of `shape` (-1: any length)."""
        return cast(Doubles, self._shaped(name, np.float64, shape))

    def integers(self, name: str, *shape: int) -> Integers:
        """Return an int64 array of `shape` (-1: any length)."""
        return cast(Integers, self._shaped(name, np.int64, shape))

    def _shaped(self, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        array = self._typed(name, dtype, len(shape))
        if any(want not in (-1, got) for want, got in zip(shape, array.shape, strict=True)):
            raise Corrupt(self._what, f"column {name} of shape {array.shape}, not {shape}")
        return array

    def _typed(self, name: str, dtype: type[np.generic], dimensions: int) -> npt.NDArray[np.generic]:
        array = self._arrays.get(name)
        if array is None or array.dtype != dtype or array.ndim != dimensions:
            raise Corrupt(self._what, f"column {name}")
        return array
