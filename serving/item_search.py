"""Search in the Milvus collection that the served manifest names; exact search answers where Milvus does not."""

from __future__ import annotations

import logging
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from contracts.arrays import Floats, Integers
from contracts.layout import Layout
from contracts.settings import milvus_variable_set_aside, without_password
from serving.catalogue import Catalogue
from serving.exact_search import ExactSearch, Found
from serving.settings import ServingSettings

with milvus_variable_set_aside():
    from pymilvus import MilvusClient, MilvusException

ROW, VECTOR = "row", "vector"
MOST_ASKED = 16_384  # Milvus refuses to return more

# Both log a traceback for what they raise as well, such as a server that is away; the answer says it in words.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)


class ItemSearch:
    """Searches one physical collection; any number of threads may use it at once.

    It never fails for Milvus's sake: where Milvus is away, slow, or lacks the collection, the answer comes from exact
    search and says why, and Milvus is left alone for a while. A connection that broke is made anew once per search.
    """

    def __init__(self, layout: Layout, collection: str, catalogue: Catalogue, settings: ServingSettings) -> None:
        self._uri = settings.store_uri(layout)
        self._collection = collection
        self._items = len(catalogue.ids)
        self._settings = settings
        self._exact = ExactSearch(catalogue)
        self._client: MilvusClient | None = None
        self._away_until = 0.0
        self._why_away = ""

    def search(self, queries: Floats, k: int) -> Found:
        """Return about the `k` items of largest inner product for each of `queries`, float32 [n, width + 1]."""
        k = min(k, self._items)
        if k > MOST_ASKED:
            return Found(self._exact.search(queries, k).rows, f"exact, for more than {MOST_ASKED} items were needed")
        if time.monotonic() < self._away_until or not k:
            return self._instead(queries, k)
        try:
            try:
                rows = self._ask(queries, k)
            except MilvusException:
                self.close()
                rows = self._ask(queries, k)
        except MilvusException as error:
            self.close()
            self._why_away = _why(error, self._uri)
            self._away_until = time.monotonic() + self._settings.retry_seconds
            return self._instead(queries, k)
        return Found(rows, "milvus")

    def close(self) -> None:
        """Drop the connection and let a Milvus Lite file go; the next search takes it up again."""
        client, self._client = self._client, None
        if client:
            with suppress(MilvusException):
                client.close()
            _let_go(self._uri)

    def _ask(self, queries: Floats, k: int) -> list[Integers]:
        client = self._client or self._connected()
        effort = {"ef": max(self._settings.hnsw_effort, k), "nprobe": self._settings.ivf_probes}
        answers = client.search(
            self._collection,
            data=list(queries),
            anns_field=VECTOR,
            limit=k,
            output_fields=[ROW],
            search_params={"metric_type": "IP", "params": effort},
            # The collection was verified before it was served and never changes: there is nothing newer to wait for.
            consistency_level="Eventually",
            timeout=self._settings.timeout_seconds,
        )
        return [np.fromiter((hit[ROW] for hit in hits), dtype=np.int64) for hits in answers]

    def _connected(self) -> MilvusClient:
        """Connect, and have the collection in memory: a Milvus that was started again has let it go."""
        if is_file(self._uri) and not Path(self._uri).exists():
            raise MilvusException(message=f"there is no vector store {without_password(self._uri)}")
        client = MilvusClient(self._uri, timeout=self._settings.timeout_seconds)
        client.load_collection(self._collection, timeout=self._settings.timeout_seconds)
        self._client = client
        return client

    def _instead(self, queries: Floats, k: int) -> Found:
        return Found(self._exact.search(queries, k).rows, f"exact, for Milvus is away ({self._why_away})")


def why_not(uri: str, collection: str, timeout: float) -> str:
    """Ask a Milvus server for a collection, now; return why it could not be searched there, empty if it could."""
    try:
        with closing(MilvusClient(uri, timeout=timeout)) as client:
            return "" if client.has_collection(collection) else f"it holds no {collection}"
    except MilvusException as error:
        return _why(error, uri)


def _why(error: MilvusException, uri: str) -> str:
    return str(error.message).replace(uri, without_password(uri)).splitlines()[0]


def is_file(uri: str) -> bool:
    """Say whether `uri` is a Milvus Lite file: pymilvus decides by the same ending."""
    return uri.endswith(".db")


def _let_go(uri: str) -> None:
    """End this process's hold on a Milvus Lite file; who still searches in it here takes it up again."""
    if is_file(uri):
        from milvus_lite.server_manager import server_manager_instance  # not needed, nor installed, beside a server

        server_manager_instance.release_server(uri)
