"""The item vectors of a base in Milvus: one physical collection per base, staged, loaded and proved by reading back.

A collection holds `row` (int64, primary key: the position in the base's item list) and `vector` (float32 [width + 1]:
`contracts.item_space`), under an inner-product index. It is never changed afterwards.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from contracts import durable, item_space
from contracts.arrays import Floats
from contracts.bases import OpenBase
from contracts.crash import reach
from contracts.errors import Corrupt, MissingServer
from contracts.settings import milvus_variable_set_aside, without_password
from publisher.settings import IndexKind, PublisherSettings

with milvus_variable_set_aside():
    from pymilvus import DataType, MilvusClient, MilvusException
    from pymilvus.milvus_client.index import IndexParams

ROW, VECTOR = "row", "vector"
NAME_LIMIT = 80

# Both log a traceback for what they raise as well, such as a server that is away; the errors of this module say it.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)


def collection_name(base: OpenBase) -> str:
    """Return the physical name of the base's collection: its id in letters that Milvus takes, and its digest.

    The digest of the base, not that of the items file alone: scale and weight of the biases are in it too.
    """
    readable = re.sub(r"[^A-Za-z0-9_]", "_", base.manifest.base_id)[:NAME_LIMIT]
    return f"freshet_items_{readable}_{base.digest[:16]}"


def vectors_of(base: OpenBase) -> Floats:
    """Return what the base's collection holds, float32 [items, width + 1]."""
    manifest = base.manifest
    return item_space.item_vectors(base.items, manifest.towers, manifest.online.bias_weight)


def lost(uri: str, name: str) -> bool:
    """Say whether the store is there and certainly does not hold `name`, which was verified there once.

    A store that does not answer is not a loss: deltas are published without it.
    """
    if is_file(uri):
        return not Path(uri).exists()
    try:
        with closing(MilvusClient(uri, timeout=5.0)) as client:
            return not client.has_collection(name)
    except MilvusException:
        return False


def absent(uri: str, names: Iterable[str], timeout: float) -> list[str]:
    """Return which of some collections a Milvus server does not hold. Raises `MissingServer`."""
    with named_errors(uri), closing(MilvusClient(uri, timeout=timeout)) as client:
        return [name for name in names if not client.has_collection(name)]


class ItemIndex:
    """A connection to the vector store at `uri`; a context manager, so that a Milvus Lite file is let go at the end.

    Every method raises `MissingServer` when the store is away, or the file is held by another process.
    """

    def __init__(self, uri: str, settings: PublisherSettings) -> None:
        self._uri = uri
        self._settings = settings
        self._kind: IndexKind = "FLAT" if is_file(uri) else settings.index
        self._client = open_store(uri, settings.timeout_seconds)

    def __enter__(self) -> ItemIndex:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the store go."""
        with suppress(MilvusException):
            self._client.close()
        let_go(self._uri)

    def stage(self, name: str, vectors: Floats) -> None:
        """Make `name` hold exactly `vectors`, indexed and loaded. What holds them already is left alone.

        What an interrupted attempt left (fewer rows, no index) is dropped and made anew.
        """
        if self.holds(name, vectors):
            return
        with named_errors(self._uri):
            if self._client.has_collection(name):
                self._client.drop_collection(name)
            self._create(name, vectors.shape[1])
            reach("publish.stage.1")
            for first in range(0, len(vectors), self._settings.batch):
                rows = vectors[first : first + self._settings.batch]
                self._client.insert(name, [{ROW: first + n, VECTOR: row} for n, row in enumerate(rows)])
                reach("publish.stage.2")
            self._client.flush(name)
            reach("publish.stage.3")
            # Milvus Lite has built the index when the call returns; a server is waited for.
            self._client.create_index(name, self._index(), sync=not is_file(self._uri))
            self._client.load_collection(name)

    def verify(self, name: str, vectors: Floats) -> None:
        """Read everything back and compare bit for bit. Raises `Corrupt` when the store holds anything else."""
        if not self.holds(name, vectors):
            raise Corrupt(
                f"collection {name} in {without_password(self._uri)}",
                "its vectors: they are not what was put in",
                hint="Publish again: the collection is made anew.",
            )

    def drop(self, name: str) -> None:
        """Make sure that there is no such collection."""
        with named_errors(self._uri):
            if self._client.has_collection(name):
                self._client.drop_collection(name)

    def holds(self, name: str, vectors: Floats) -> bool:
        """Say whether `name` is there, indexed, loaded and holds exactly `vectors`; all rows are read, in batches."""
        with named_errors(self._uri):
            if not self._client.has_collection(name) or not self._client.list_indexes(name):
                return False
            self._client.load_collection(name)
            if self._count(name) != len(vectors):
                return False
            batch = self._settings.batch
            firsts = range(0, len(vectors), batch)
            return all(self._equal(name, first, vectors[first : first + batch]) for first in firsts)

    def _create(self, name: str, dimensions: int) -> None:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ROW, DataType.INT64, is_primary=True)
        schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimensions)
        self._client.create_collection(name, schema=schema)

    def _index(self) -> IndexParams:
        settings = self._settings
        parameters = {
            "HNSW": {"M": settings.hnsw_links, "efConstruction": settings.hnsw_effort},
            "IVF_FLAT": {"nlist": settings.ivf_lists},
            "IVF_SQ8": {"nlist": settings.ivf_lists},
            "FLAT": {},
        }[self._kind]
        index = MilvusClient.prepare_index_params()
        index.add_index(VECTOR, index_type=self._kind, metric_type="IP", params=parameters)
        return index

    def _count(self, name: str) -> int:
        (answer,) = self._client.query(name, "", output_fields=["count(*)"], consistency_level="Strong")
        return int(answer["count(*)"])

    def _equal(self, name: str, first: int, expected: Floats) -> bool:
        within = f"{ROW} >= {first} and {ROW} < {first + len(expected)}"
        found = self._client.query(
            name, within, output_fields=[ROW, VECTOR], limit=len(expected), consistency_level="Strong"
        )
        if len(found) != len(expected):
            return False
        found.sort(key=lambda item: int(item[ROW]))
        rows = [int(item[ROW]) for item in found]
        vectors = np.array([item[VECTOR] for item in found], dtype=np.float32)
        return rows == list(range(first, first + len(expected))) and bool(np.array_equal(vectors, expected))


def is_file(uri: str) -> bool:
    """Say whether `uri` is a Milvus Lite file: pymilvus decides by the same ending."""
    return uri.endswith(".db")


def let_go(uri: str) -> None:
    """End this process's hold on a Milvus Lite file; who still searches in it here takes it up again."""
    if is_file(uri):
        from milvus_lite.server_manager import server_manager_instance  # not needed, nor installed, beside a server

        server_manager_instance.release_server(uri)


def open_store(uri: str, timeout: float) -> MilvusClient:
    """Connect to a server, or open a Milvus Lite file. Raises `MissingServer`."""
    if is_file(uri):
        durable.make_directory(Path(uri).parent)
    with named_errors(uri):
        return MilvusClient(uri, timeout=timeout)


@contextmanager
def named_errors(uri: str) -> Iterator[None]:
    """Turn what pymilvus raises into a named error."""
    try:
        yield
    except MilvusException as error:
        address = without_password(uri)
        why = str(error.message).replace(uri, address)
        if is_file(uri):
            raise MissingServer(
                f"the vector store {address} cannot be used: {why}",
                hint="One process at a time may hold a Milvus Lite file: end the other, or set MILVUS_URI to a server.",
            ) from None
        raise MissingServer(
            f"Milvus at {address} failed: {why}",
            hint="Start Milvus there, or unset MILVUS_URI to use a Milvus Lite file.",
        ) from None
