"""The chain: numbered manifests, each created exclusively, each holding the digest of the one before it.

Its head is the highest number that exists; nothing else (an offset, a state DB, a `current` file) is the truth.
Used three times: shards of a topic-partition, deltas of a (base, partition), served manifests.
"""

from __future__ import annotations

import functools
import secrets
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

import msgspec

from contracts import durable, layout, sealed
from contracts.errors import ChainBroken, ChainTaken, Corrupt, UnknownSchema

NO_PARENT = ""
Kind = TypeVar("Kind")
_learning = threading.Lock()


class DataFile(msgspec.Struct, frozen=True):
    """A data file as its manifest names it: `name` beside the manifest, `size` in bytes, SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The envelope of every manifest; `body` is the stage's own part, `schema` names its type and version."""

    schema: str
    number: int
    parent: str
    files: tuple[DataFile, ...]
    body: msgspec.Raw


Body = TypeVar("Body", bound=msgspec.Struct)


@dataclass(frozen=True)
class Entry(Generic[Body]):
    """One manifest of a chain, read or prepared: `data` are its bytes on disk, `digest` names it."""

    number: int
    parent: str
    digest: str
    files: tuple[DataFile, ...]
    body: Body
    data: bytes


@functools.cache
def decoder(kind: type[Kind]) -> msgspec.json.Decoder[Kind]:
    """Return the JSON decoder of a type, made by one thread at a time.

    msgspec learns a type at its first use. A thread that meets a type which another one is still learning reads a null
    pointer and takes the process down: seen in a worker that opened its partitions side by side.
    """
    with _learning:
        return msgspec.json.Decoder(kind)


class Chain(Generic[Body]):
    """A chain in `directory` whose bodies are of type `body_type` under the schema name `schema`.

    Manifests of an `older` schema are read as well: what they lack has a default in `body_type`.

    Reading never writes. Several processes may hold the same chain; of two that create the same number one wins.
    """

    def __init__(self, directory: Path, schema: str, body_type: type[Body], older: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.schema, self._read = schema, (schema, *older)
        self.body_type = body_type

    def head(self, known: int = 0) -> Entry[Body] | None:
        """Return the highest manifest, None for an empty chain; `known` (a number that exists) makes it quicker."""
        number = self.head_number(known)
        return self.read(number) if number else None

    def head_number(self, known: int = 0) -> int:
        """Probe for the highest number: gallop upwards from `known`, then bisect. 0: the chain is empty."""
        low, step = known, 1
        while self._exists(low + step):
            low, step = low + step, step * 2
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._exists(middle) else (low, middle)
        return low

    def first_that_reached(self, goal: int, key: Callable[[Body], int]) -> int:
        """Return the number of the first manifest whose `key` is `goal` or more; one past the head where none is.

        By bisection: `key` must not fall along the chain.
        """
        numbers = range(1, self.head_number() + 1)
        return 1 + bisect_left(numbers, goal, key=lambda number: key(self.read(number).body))

    def read(self, number: int) -> Entry[Body]:
        """Read manifest `number`. Raises `Corrupt`, `UnknownSchema`, or `ChainBroken` when it is not there."""
        path = self.directory / layout.manifest_name(number)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ChainBroken(f"manifest {number} of {self.directory} is missing") from None
        entry = self.parse(data, str(path))
        if entry.number != number:
            raise ChainBroken(f"{path} holds manifest {entry.number}, not {number}")
        return entry

    def parse(self, data: bytes, what: str = "a manifest") -> Entry[Body]:
        """Decode the bytes of a manifest. Raises `Corrupt` at any damage, `UnknownSchema` at another version."""
        document, seal = sealed.unseal(data, what)
        try:
            manifest = decoder(Manifest).decode(document)
            if manifest.schema not in self._read:
                raise UnknownSchema(f"{what} has schema {manifest.schema!r}, this version reads {self.schema!r}")
            body = decoder(self.body_type).decode(manifest.body)
        except ValueError as error:  # MsgspecError, UnicodeDecodeError
            raise Corrupt(what, str(error)) from None
        return Entry(manifest.number, manifest.parent, seal, manifest.files, body, data)

    def entries(self, after: int = 0) -> Iterator[Entry[Body]]:
        """Yield the manifests after number `after`, in order, up to the head at the time of asking."""
        number = after + 1
        while self._exists(number):
            yield self.read(number)
            number += 1

    def prepare(
        self, after: Entry[Body] | None, body: Body, files: dict[str, bytes], kept: Sequence[DataFile] = ()
    ) -> Entry[Body]:
        """Write the data files (suffix → bytes) durably and return the manifest that would commit them.

        Nothing is visible yet: the files have names that no other attempt uses and that no manifest names. `kept` are
        files of an earlier manifest that this one names again.
        """
        number = after.number + 1 if after else 1
        durable.make_directory(self.directory)
        unique = secrets.token_hex(6)
        named = tuple(
            self._write_data(layout.data_name(number, unique, suffix), data) for suffix, data in files.items()
        )
        durable.fsync_directory(self.directory)
        named += tuple(kept)
        parent = after.digest if after else NO_PARENT
        raw = msgspec.Raw(msgspec.json.encode(body, order="sorted"))
        document = msgspec.json.encode(Manifest(self.schema, number, parent, named, raw))
        data = sealed.seal(document)
        return Entry(number, parent, sealed.digest(document), named, body, data)

    def create(self, entry: Entry[Body]) -> None:
        """Make `entry` the head: the commit. Repeating it is harmless.

        Raises `ChainTaken` when another manifest has this number: the caller must drop its local state.
        """
        if durable.create_exclusive(self.directory / layout.manifest_name(entry.number), entry.data):
            return
        if self.read(entry.number).digest != entry.digest:
            raise ChainTaken(
                f"manifest {entry.number} of {self.directory} was created by another process",
                hint="This process lost the partition: it drops its local state and rebuilds if it still owns it.",
            )

    def data(self, entry: Entry[Body], suffix: str) -> bytes:
        """Return the verified bytes of the data file with `suffix`. Raises `Corrupt` or `ChainBroken`."""
        return self._read_data(self._named(entry, suffix))

    def parsed(self, entry: Entry[Body], suffix: str, parse: Callable[[bytes], Kind]) -> Kind:
        """Return what `parse` makes of a data file; its digest is computed meanwhile, and nothing comes back before.

        Raises `Corrupt` or `ChainBroken`, or what `parse` raises on verified bytes.
        """
        named = self._named(entry, suffix)
        data = self._bytes(named)
        found: Kind | None = None
        fault: Exception | None = None
        with ThreadPoolExecutor(1) as beside:
            digest = beside.submit(sealed.digest, data)
            try:
                found = parse(data)
            except Exception as error:  # of bytes that may not be what was written
                fault = error
            self._check(named, data, digest.result())
        if fault:
            raise fault
        return cast(Kind, found)

    def holds(self, entry: Entry[Body]) -> bool:
        """Tell whether the data files that a manifest names are there and whole."""
        try:
            for file in entry.files:
                self._read_data(file)
        except (ChainBroken, Corrupt):
            return False
        return True

    def verify(self, deep: bool = True, proved: Callable[[Entry[Body]], None] = lambda entry: None) -> int:
        """Prove that the chain is contiguous, that every parent matches, and (`deep`) every data file's digest.

        `proved` is told of each manifest. Returns how many manifests it holds. Raises `ChainBroken` or `Corrupt` at
        the first fault.
        """
        parent, count = NO_PARENT, self.highest()
        for number in range(1, count + 1):
            entry = self.read(number)
            if entry.parent != parent:
                raise ChainBroken(f"manifest {number} of {self.directory} does not follow the one before it")
            if deep:
                for file in entry.files:
                    self._read_data(file)
            proved(entry)
            parent = entry.digest
        return count

    def remove_orphans(self) -> list[str]:
        """Delete data files that no manifest names and whose number the head has reached; return their names.

        So are manifests that were written and never got their name. A file numbered above the head is left: a sleeping
        writer may still create the manifest that names it.
        """
        head = self.head_number()
        found = [path.name for pattern in ("*-*", ".*.tmp") for path in self.directory.glob(pattern)]
        candidates = {
            name: number for name in found if (number := layout.numbered(name.removeprefix("."))) and number <= head
        }
        named = {file.name for number in set(candidates.values()) for file in self.read(number).files}
        orphans = sorted(set(candidates) - named)
        for name in orphans:
            (self.directory / name).unlink(missing_ok=True)
        return orphans

    def highest(self) -> int:
        """Return the highest number in the directory, also behind a gap; `head_number` is quicker in a whole chain."""
        return max(self.numbers(), default=0)

    def numbers(self) -> list[int]:
        """Return the numbers of all manifests in the directory, sorted; those of a whole chain are 1, 2, 3 …"""
        names = [path.name for path in self.directory.glob("*.json")] if self.directory.exists() else []
        return sorted(
            number for name in names if (number := layout.numbered(name)) and name == layout.manifest_name(number)
        )

    def _exists(self, number: int) -> bool:
        return number > 0 and (self.directory / layout.manifest_name(number)).exists()

    def _write_data(self, name: str, data: bytes) -> DataFile:
        durable.write_file(self.directory / name, data)
        return DataFile(name, len(data), sealed.digest(data))

    def _named(self, entry: Entry[Body], suffix: str) -> DataFile:
        named = next((file for file in entry.files if file.name.endswith("." + suffix)), None)
        if named is None:
            raise ChainBroken(f"manifest {entry.number} of {self.directory} names no .{suffix} file")
        return named

    def _read_data(self, file: DataFile) -> bytes:
        data = self._bytes(file)
        self._check(file, data, sealed.digest(data))
        return data

    def _bytes(self, file: DataFile) -> bytes:
        try:
            return (self.directory / file.name).read_bytes()
        except FileNotFoundError:
            raise ChainBroken(f"data file {self.directory / file.name} is missing") from None

    def _check(self, file: DataFile, data: bytes, digest: str) -> None:
        if len(data) != file.size or digest != file.sha256:
            raise Corrupt(str(self.directory / file.name), f"its digest ({len(data)} of {file.size} bytes)")
