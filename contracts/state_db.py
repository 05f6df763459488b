"""The local state of one partition: a RocksDB in raw mode (bytes to bytes). A cache that makes a fold start later.

It may be deleted at any time; whatever it holds can be rebuilt from the log and the chain.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict, WriteBatch, WriteOptions

from contracts import durable
from contracts.errors import Corrupt, StateHeld

Changes = Mapping[bytes, bytes | None]


class StateDB:
    """One open DB; at most one process may hold it. Close it before its folder is opened again.

    Opening raises `StateHeld` while another process, or another object of this one, has it open, and `Corrupt` when
    its files are damaged.
    """

    def __init__(self, directory: Path) -> None:
        durable.make_directory(directory.parent)
        self.directory = directory
        options = Options(raw_mode=True)
        options.set_keep_log_file_num(2)
        options.set_max_open_files(64)
        try:
            self._db: Any = Rdict(str(directory), options)
        except Exception as error:  # rocksdict raises nothing narrower
            if "lock" in str(error).lower():
                raise StateHeld(f"another process holds the state in {directory}") from None
            if "corruption" in str(error).lower():
                raise Corrupt(str(directory), str(error)) from None
            raise OSError(f"the state in {directory} cannot be opened: {error}") from None
        self._synced = WriteOptions()
        self._synced.sync = True

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, None when absent."""
        value: bytes | None = self._db.get(key)
        return value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys (without `prefix`) and values in byte order."""
        for key, value in self._db.items(from_key=prefix):
            if not key.startswith(prefix):
                return
            yield key[len(prefix) :], value

    def write(self, changes: Changes) -> None:
        """Apply all changes (None deletes) or none of them, durably: one synced batch."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._db.write(batch, self._synced)

    def close(self) -> None:
        """Release the lock."""
        self._db.close()

    @staticmethod
    def drop(directory: Path) -> None:
        """Delete the folder of a closed DB."""
        shutil.rmtree(directory, ignore_errors=True)
