"""What `freshet doctor` asks the publisher of its settings."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.findings import Finding, of_settings
from contracts.layout import Layout
from publisher.settings import PublisherSettings


def settings(layout: Layout) -> Iterator[Finding]:
    """Yield how the settings can be read."""
    yield from of_settings(PublisherSettings)
