"""What `freshet doctor` asks of what serving reads beside files: the vector store and the cache that replicas share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contracts import served
from contracts.findings import Finding, ok, unused, warning
from contracts.layout import Layout
from contracts.settings import without_password
from serving.item_search import is_file, why_not
from serving.settings import ServingSettings
from serving.vector_cache import SharedVectors

TIMEOUT_S = 3.0


def store(layout: Layout) -> Iterator[Finding]:
    """Yield whether the served collection can be searched where serving looks for it."""
    settings, head = ServingSettings.load(), served.head(layout)
    uri = settings.store_uri(layout)
    address = without_password(uri)
    if settings.search == "exact" or head is None or not head.body.collections:
        why = "nothing is served yet" if head is None else 'search = "exact" asks no vector store'
        yield unused("search", why)
        return
    collection = head.body.collections[0]
    if is_file(uri) and Path(uri).exists():
        yield ok("search", f"{address} is there")
        return
    why = "it is gone" if is_file(uri) else why_not(uri, collection, TIMEOUT_S)
    if not why:
        yield ok("search", f"serving finds {collection} in {address}")
        return
    yield warning(
        "search",
        f"serving cannot search in {address}: {why}. Exact search answers in its place, slowly",
        "Publisher and serving must name the same store: set MILVUS_URI for both, then freshet publish once",
    )


def shared_vectors(layout: Layout) -> Iterator[Finding]:
    """Yield whether the Redis that replicas share answers as quickly as serving waits for it."""
    settings = ServingSettings.load()
    if not settings.redis_url.get_secret_value():
        yield unused("shared user vectors", "no redis_url in serving.toml, no REDIS_URL")
        return
    why = SharedVectors(settings).why_away()
    if not why:
        yield ok("shared user vectors", "Redis answers")
        return
    said = f"Redis does not answer within {settings.redis_timeout_seconds:g} s ({why}): every vector is computed"
    yield warning("shared user vectors", said, "Start it, set redis_url in serving.toml, or leave redis_url empty.")
