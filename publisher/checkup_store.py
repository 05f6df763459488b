"""What `freshet doctor` asks of where the publisher writes: the vector store and the sinks. It reads only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from contracts import served
from contracts.errors import FreshetError
from contracts.findings import Finding, fault, of_error, ok, unused, warning
from contracts.layout import Layout
from contracts.settings import without_password
from publisher import sink_choice
from publisher.item_index import absent, is_file
from publisher.settings import PublisherSettings
from publisher.sink_choice import Opened

TIMEOUT_S = 3.0


def store(layout: Layout) -> Iterator[Finding]:
    """Yield whether the collections of the served version are there. A Milvus Lite file is not opened."""
    settings = PublisherSettings.load()
    uri, head = settings.store_uri(layout), served.head(layout)
    if is_file(uri):
        yield _lite(uri, head is not None)
        return
    names, address = head.body.collections if head else (), without_password(uri)
    try:
        gone = absent(uri, names, TIMEOUT_S)
    except FreshetError as error:
        yield of_error("vector store", error)
        return
    if gone:
        said = f"Milvus at {address} does not hold {', '.join(gone)}: exact search answers in its place, slowly"
        yield fault("vector store", said, "Stage the items again: freshet publish once", FreshetError.exit_code)
        return
    yield ok("vector store", f"Milvus at {address} holds the {len(names)} collections that are served")


def _lite(uri: str, needed: bool) -> Finding:
    address = without_password(uri)
    if Path(uri).exists():
        return ok(
            "vector store", f"{address} is there (Milvus Lite: not opened, for one process at a time may hold it)"
        )
    if not needed:
        return unused("vector store", f"there is no {address} yet: the first publish makes it")
    said = f"{address} is gone: exact search answers in its place, slowly"
    return fault("vector store", said, "Stage the items again: freshet publish once", FreshetError.exit_code)


def sinks(layout: Layout) -> Iterator[Finding]:
    """Yield for each sink in the settings whether it answers, and whether it has what is served."""
    settings = PublisherSettings.load()
    quick = settings.sinks.model_copy(update={"timeout_seconds": TIMEOUT_S})
    found = list(sink_choice.chosen(layout, settings.model_copy(update={"sinks": quick})))
    if not found:
        yield unused("sinks", "none in the settings ([sinks] of publisher.toml)")
    for name, opened in found:
        if name == "milvus" and is_file(settings.store_uri(layout)):
            yield unused(name, "in Milvus Lite, which is not opened: one process at a time may hold it")
            continue
        yield _sink(layout, name, opened)


def _sink(layout: Layout, name: str, opened: Opened) -> Finding:
    try:
        with closing(opened()) as sink:
            cursor = sink.cursor()
    except FreshetError as error:
        return of_error(name, error)
    held, head = cursor.version if cursor else 0, served.chain(layout).head_number()
    said = f"it answers, and holds version {held} of {head}"
    if held < head:
        return warning(
            name, said, "`freshet publish run` brings it up at its next publish, or now: freshet publish once"
        )
    return ok(name, said)
