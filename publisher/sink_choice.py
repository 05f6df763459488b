"""Which sinks there are, and bringing them to what is served: one that fails only falls behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from contracts.errors import FreshetError
from contracts.layout import Layout
from publisher.settings import PublisherSettings
from publisher.sinks import Sink, follow

Opened = Callable[[], Sink]


def chosen(layout: Layout, settings: PublisherSettings) -> Iterator[tuple[str, Opened]]:
    """Yield the name of each sink in the settings, and what connects to it."""
    if settings.sinks.redis_url.get_secret_value():
        from publisher.redis_sink import RedisSink  # redis is not loaded where it is not used

        yield "redis", lambda: RedisSink(settings.sinks)
    if settings.sinks.milvus:
        from publisher.milvus_sink import MilvusSink

        yield "milvus", lambda: MilvusSink(settings.sinks, settings.store_uri(layout))


def follow_all(layout: Layout, settings: PublisherSettings, say: Callable[[str], None]) -> None:
    """Bring every sink to what is served; what fails is said, and goes on from its cursor the next time."""
    for name, opened in chosen(layout, settings):
        try:
            with closing(opened()) as sink:
                written = follow(layout, sink)
        except FreshetError as error:
            say(f"Sink {name} falls behind: {error}. {error.hint}".strip())
            continue
        if written:
            say(f"Sink {name} has what is served: {written} rows were written.")
