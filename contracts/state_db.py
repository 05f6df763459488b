"""The local state of one partition: a RocksDB in raw mode (bytes to bytes). A cache that makes a fold start later.

It may be deleted at any time; whatever it holds can be rebuilt from the log and the chain.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    MemtableFactory,
    Options,
    Rdict,
    ReadOptions,
    SliceTransform,
    WriteBatch,
)

from contracts import durable
from contracts.errors import FreshetError, MissingInput, StateDamaged, StateHeld

_MEMTABLE_BYTES = 4 << 20  # a DB holds at most two of them
_CACHE_BYTES = 32 << 20  # blocks, indexes and filters of all DBs of a process
_FILTER_BITS = 10  # a key: one look-up in a hundred for an absent key goes on to the blocks
_MEMTABLE_BUCKETS = 50_000
_MOST_LOOKS = 100  # at a DB whose files come and go while it is opened for reading
_REBUILT = "It is a cache: run the same command again, and it is rebuilt from the log."


class KeyRange(NamedTuple):
    """All keys in [first, end)."""

    first: bytes
    end: bytes


Changes = Mapping[Any, bytes | None]  # by key, or by `KeyRange` (a mapping is invariant in its keys)


class StateDB:
    """One open DB; at most one process may hold it, by a lock file beside its folder.

    Opening raises `StateHeld` while another process, or another object of this one, has it open. Damage is
    `StateDamaged`, from any method: `reset` it then. Memory is bounded however much it holds: two small memtables, and
    one cache for all DBs of a process.
    """

    def __init__(self, directory: Path, read_only: bool = False) -> None:
        """Open it; `read_only`: as it is now, for reading, also while another process holds it; it must be there."""
        if read_only and not (directory / "CURRENT").exists():
            raise MissingInput(f"there is no state in {directory}", hint="A worker that owns the partition makes it.")
        self.directory = directory
        self._lock = None if read_only else _locked(directory)
        self._db: Any = None
        self._access = AccessType.read_only(False) if read_only else AccessType.read_write()
        if read_only:
            self._db = self._opened_beside_a_writer()
            return
        try:
            self._db = self._opened()
        except StateDamaged:
            self.reset()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, None when absent."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, in their order, None where absent."""
        with self._naming_damage():
            return list(self._db.get(list(keys))) if keys else []

    def empty(self) -> bool:
        """Tell whether it holds nothing."""
        with self._naming_damage():
            return next(iter(self._db.keys(read_opt=_in_order())), None) is None

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys (without `prefix`) and values in byte order."""
        with self._naming_damage():
            for key, value in self._db.items(from_key=prefix, read_opt=_in_order()):
                if not key.startswith(prefix):
                    return
                yield key[len(prefix) :], value

    def write(self, *batches: Changes) -> None:
        """Apply all changes, in order, or none of them; None deletes a key or a range.

        They survive the death of this process. When the machine dies, the newest batches may be gone, never one
        between others: whoever opens the DB compares its position with the chain.
        """
        batch = WriteBatch(raw_mode=True)
        for changes in batches:
            if None not in changes.values():
                deque(map(batch.put, changes, changes.values()), maxlen=0)  # no loop is quicker
                continue
            for key, value in changes.items():
                if value is not None:
                    batch.put(key, value)
                elif isinstance(key, KeyRange):
                    batch.delete_range(key.first, key.end)
                else:
                    batch.delete(key)
        with self._naming_damage():
            self._db.write(batch)

    def reset(self) -> None:
        """Empty it, whatever state it is in; the lock is held all the while."""
        with suppress(OSError, StateDamaged):  # what a close would save goes anyway
            self._closed()
        self.drop(self.directory)
        self._db = self._opened()

    def close(self) -> None:
        """Release the lock, whatever fails. What was written is there when it is opened again, on a full disk too."""
        try:
            self._closed()
        finally:
            self._unlock()

    def discard(self) -> None:
        """Delete its folder, then release the lock."""
        with suppress(OSError, StateDamaged):
            self._closed()
        self.drop(self.directory)
        self._unlock()

    @staticmethod
    def drop(directory: Path) -> None:
        """Delete the folder of a DB that nobody has open."""
        shutil.rmtree(directory, ignore_errors=True)

    def _closed(self) -> None:
        if self._db is not None:
            with self._naming_damage():
                self._db.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _opened(self) -> Any:
        with self._naming_damage():
            return Rdict(str(self.directory), _options(self._lock is None), access_type=self._access)

    def _opened_beside_a_writer(self) -> Any:
        """Open it again while files that it lists are gone by then, tables merged, logs flushed: that is no damage."""
        for _ in range(_MOST_LOOKS):
            before = self._files()
            try:
                return self._opened()
            except (OSError, StateDamaged):
                if self._files() == before:
                    raise
        return self._opened()

    def _files(self) -> set[str]:
        names = (path.name for path in self.directory.iterdir())
        return {name for name in names if name.endswith((".sst", ".log")) or name.startswith("MANIFEST")}

    @contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except (FreshetError, GeneratorExit):
            raise
        except Exception as error:  # rocksdict raises nothing narrower
            if "corruption" in str(error).lower():
                raise StateDamaged(str(self.directory), str(error), hint=_REBUILT) from None
            raise OSError(f"the state in {self.directory} fails: {error}") from None


def holder(directory: Path) -> int | None:
    """Return the process that has a DB open; None for none that can be seen from here. Takes no lock itself.

    Linux lists who holds which lock by device and inode: proc_locks(5). Raises `OSError` where it does not.
    """
    try:
        found = _lock_file(directory).stat()
    except FileNotFoundError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        match line.split():
            case [_, "FLOCK", _, _, process, where, *_] if where == place:
                return int(process)
    return None


def _lock_file(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.lock")


def _locked(directory: Path) -> IO[bytes]:
    """Lock the name of a folder for this process, until the file is closed. Raises `StateHeld`."""
    durable.make_directory(directory.parent)
    file = open(_lock_file(directory), "ab")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StateHeld(f"another process holds the state in {directory}") from None
    return file


def _options(read_only: bool) -> Options:
    """Return options for a DB of any size in a few MiB of memory, which seldom reads the disk for an absent key.

    A reader keeps all files open: what it found stays readable when a writer deletes it.
    """
    tables = BlockBasedOptions()
    tables.set_block_cache(_shared_cache())
    tables.set_bloom_filter(_FILTER_BITS, False)
    tables.set_cache_index_and_filter_blocks(True)
    tables.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.set_block_based_table_factory(tables)
    options.set_write_buffer_size(_MEMTABLE_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_memtable_factory(MemtableFactory.hash_link_list(_MEMTABLE_BUCKETS))  # type: ignore[call-arg]
    options.set_prefix_extractor(SliceTransform.create_noop())  # a bucket by the whole key
    options.set_allow_concurrent_memtable_write(False)  # which no hash table allows
    options.set_keep_log_file_num(2)
    options.set_max_open_files(-1 if read_only else 64)
    return options


def _in_order() -> ReadOptions:
    """Return options for going through keys in their order, which a hash table has to be told."""
    options = ReadOptions()
    options.set_total_order_seek(True)
    return options


@cache
def _shared_cache() -> Cache:
    return Cache(_CACHE_BYTES)
