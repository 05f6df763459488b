"""What `freshet doctor` asks the streams stage, without Kafka: its settings and its page."""

from __future__ import annotations

from collections.abc import Iterator

from contracts import listening
from contracts.errors import FreshetError
from contracts.findings import Finding, of_error, of_settings, unused
from contracts.layout import Layout
from streams.settings import StreamsSettings


def settings(layout: Layout) -> Iterator[Finding]:
    """Yield how the settings can be read, and whether those of Kafka's security fit together."""
    yield from of_settings(StreamsSettings)
    try:
        chosen = StreamsSettings.load()
    except FreshetError:  # has been told
        return
    try:
        _ = chosen.access.tls
    except FreshetError as error:
        yield of_error("streams, way to Kafka", error)


def port(layout: Layout) -> Iterator[Finding]:
    """Yield whether the worker's page can be had."""
    chosen = StreamsSettings.load()
    if chosen.http_port:
        yield listening.at("worker's page", chosen.http_host, chosen.http_port, "FRESHET_STREAMS_HTTP_PORT")
    else:
        yield unused("worker's page", "http_port is 0")
