"""A sink in Milvus: one collection of rows per generation, and a small one that holds the cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from contracts.rows import Row
from contracts.settings import milvus_variable_set_aside
from publisher.item_index import is_file, let_go, named_errors, open_store
from publisher.settings import Sinks
from publisher.sinks import Cursor, read_cursor

with milvus_variable_set_aside():
    from pymilvus import DataType, MilvusClient, MilvusException
    from pymilvus.milvus_client.index import IndexParams

USER, OWN, VERSION, CLICKS, LAST = "user", "own", "version", "clicks", "last_event_time"
NAME, TEXT, NOTHING = "name", "cursor", "nothing"
LONGEST_ID, LONGEST_CURSOR = 1024, 65_535


class MilvusSink:
    """See `publisher.sinks.Sink`.

    Read the collection `<prefix>_cursor` first: it names the one with the rows, `<prefix>_<generation>`. A row has
    `user` (primary key), `own` (float32 [width], indexed because a collection has to be), `version`, `clicks` and
    `last_event_time`.
    """

    name = "milvus"

    def __init__(self, settings: Sinks, uri: str) -> None:
        self._uri, self._prefix = uri, settings.prefix.replace(":", "_").replace("-", "_")
        self._client = open_store(uri, settings.timeout_seconds)

    def cursor(self) -> Cursor | None:
        """Return what it holds."""
        name = self._cursor_collection
        with named_errors(self._uri):
            if not self._client.has_collection(name) or not self._client.list_indexes(name):
                return None
            self._client.load_collection(name)
            found = self._client.get(name, ["it"], output_fields=[TEXT], consistency_level="Strong")
        return read_cursor(found[0][TEXT].encode(), "the Milvus sink") if found else None

    def point(self, cursor: Cursor) -> None:
        """Replace the cursor."""
        name = self._cursor_collection
        with named_errors(self._uri):
            if not self._client.has_collection(name) or not self._client.list_indexes(name):
                schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
                schema.add_field(NAME, DataType.VARCHAR, is_primary=True, max_length=8)
                schema.add_field(TEXT, DataType.VARCHAR, max_length=LONGEST_CURSOR)
                schema.add_field(NOTHING, DataType.FLOAT_VECTOR, dim=2)
                self._make(name, schema, NOTHING)
            text = msgspec.json.encode(cursor).decode()
            self._client.upsert(name, [{NAME: "it", TEXT: text, NOTHING: [0.0, 0.0]}])

    def begin(self, generation: str, width: int) -> None:
        """Make room."""
        with named_errors(self._uri):
            schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field(USER, DataType.VARCHAR, is_primary=True, max_length=LONGEST_ID)
            schema.add_field(OWN, DataType.FLOAT_VECTOR, dim=width)
            for name in (VERSION, CLICKS, LAST):
                schema.add_field(name, DataType.INT64)
            self._make(self._collection(generation), schema, OWN)

    def put(self, generation: str, version: int, rows: Mapping[str, Row]) -> None:
        """Write rows."""
        entities = [
            {USER: user, OWN: row.own, VERSION: version, CLICKS: row.clicks, LAST: row.last_event_time}
            for user, row in rows.items()
        ]
        with named_errors(self._uri):
            self._client.upsert(self._collection(generation), entities)

    def remove(self, generation: str, users: Sequence[str]) -> None:
        """Delete rows."""
        with named_errors(self._uri):
            self._client.delete(self._collection(generation), ids=list(users))

    def drop(self, generation: str) -> None:
        """Drop a generation."""
        with named_errors(self._uri):
            if self._client.has_collection(self._collection(generation)):
                self._client.drop_collection(self._collection(generation))

    def close(self) -> None:
        """Let the store go."""
        with suppress(MilvusException):
            self._client.close()
        let_go(self._uri)

    @property
    def _cursor_collection(self) -> str:
        return f"{self._prefix}_cursor"

    def _collection(self, generation: str) -> str:
        return f"{self._prefix}_{generation}"

    def _make(self, name: str, schema: object, vector: str) -> None:
        """Make a collection anew, indexed and loaded."""
        if self._client.has_collection(name):
            self._client.drop_collection(name)
        self._client.create_collection(name, schema=schema)
        index: IndexParams = MilvusClient.prepare_index_params()
        index.add_index(vector, index_type="FLAT", metric_type="IP", params={})
        self._client.create_index(name, index, sync=not is_file(self._uri))
        self._client.load_collection(name)
