"""The local state of one partition: a RocksDB in raw mode (bytes to bytes). A cache that makes a fold start later.

It may be deleted at any time; whatever it holds can be rebuilt from the log and the chain.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from contracts import durable
from contracts.errors import Corrupt, MissingInput, StateHeld

_MEMTABLE_BYTES = 4 << 20  # a DB holds at most two of them
_CACHE_BYTES = 32 << 20  # blocks, indexes and filters of all DBs of a process
_FILTER_BITS = 10  # a key: one look-up in a hundred for an absent key goes on to the blocks


class KeyRange(NamedTuple):
    """All keys in [first, end)."""

    first: bytes
    end: bytes


Changes = Mapping[Any, bytes | None]  # by key, or by `KeyRange` (a mapping is invariant in its keys)


class StateDB:
    """One open DB; at most one process may hold it. Close it before its folder is opened again.

    Opening raises `StateHeld` while another process, or another object of this one, has it open, and `Corrupt` when
    its files are damaged. Memory is bounded however much it holds: two small memtables, and one cache for all DBs.
    """

    def __init__(self, directory: Path, read_only: bool = False) -> None:
        """Open it; `read_only`: as it is now, for reading, also while another process holds it; it must be there."""
        if not read_only:
            durable.make_directory(directory.parent)
        elif not (directory / "CURRENT").exists():
            raise MissingInput(f"there is no state in {directory}", hint="A worker that owns the partition makes it.")
        self.directory = directory
        access = AccessType.read_only(False) if read_only else AccessType.read_write()
        try:
            self._db: Any = Rdict(str(directory), _options(), access_type=access)
        except Exception as error:  # rocksdict raises nothing narrower
            if "lock" in str(error).lower():
                raise StateHeld(f"another process holds the state in {directory}") from None
            if "corruption" in str(error).lower():
                raise Corrupt(str(directory), str(error)) from None
            raise OSError(f"the state in {directory} cannot be opened: {error}") from None

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, None when absent."""
        value: bytes | None = self._db.get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, in their order, None where absent."""
        return list(self._db.get(list(keys))) if keys else []

    def empty(self) -> bool:
        """Tell whether it holds nothing."""
        return next(iter(self._db.keys()), None) is None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys (without `prefix`) and values in byte order."""
        for key, value in self._db.items(from_key=prefix):
            if not key.startswith(prefix):
                return
            yield key[len(prefix) :], value

    def write(self, *batches: Changes) -> None:
        """Apply all changes, in order, or none of them; None deletes a key or a range.

        They survive the death of this process. When the machine dies, the newest batches may be gone, never one
        between others: whoever opens the DB compares its position with the chain.
        """
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in chain.from_iterable(changes.items() for changes in batches):
            if isinstance(key, KeyRange):
                batch.delete_range(key.first, key.end)
            elif value is None:
                batch.delete(key)
            else:
                put(key, value)
        self._db.write(batch)

    def close(self) -> None:
        """Release the lock."""
        self._db.close()

    @staticmethod
    def drop(directory: Path) -> None:
        """Delete the folder of a closed DB."""
        shutil.rmtree(directory, ignore_errors=True)


def _options() -> Options:
    """Return options for a DB of any size in a few MiB of memory, which seldom reads the disk for an absent key."""
    tables = BlockBasedOptions()
    tables.set_block_cache(_shared_cache())
    tables.set_bloom_filter(_FILTER_BITS, False)
    tables.set_cache_index_and_filter_blocks(True)
    tables.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.set_block_based_table_factory(tables)
    options.set_write_buffer_size(_MEMTABLE_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(64)
    return options


@cache
def _shared_cache() -> Cache:
    return Cache(_CACHE_BYTES)
