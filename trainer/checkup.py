"""What `freshet doctor` asks the trainer. Without torch: what it needs of that is written down."""

from __future__ import annotations

from collections.abc import Iterator

from contracts import days, listening
from contracts.errors import FreshetError
from contracts.findings import Finding, of_error, of_settings, unused, warning
from contracts.layout import Layout, names
from trainer.settings import TrainerSettings


def settings(layout: Layout) -> Iterator[Finding]:
    """Yield how the settings can be read, and whether what they name is there."""
    yield from of_settings(TrainerSettings)
    try:
        chosen = TrainerSettings.load()
    except FreshetError:  # has been told
        return
    try:
        days.zone(chosen.day_zone)
    except FreshetError as error:
        yield of_error("trainer day_zone", error)
    there = names(layout.shards("any", 0).parent.parent)
    if there and chosen.topic not in there:
        yield warning(
            "trainer topic",
            f"there are shards of {', '.join(there)} and none of {chosen.topic}",
            "Set FRESHET_TRAINER_TOPIC, or topic in trainer.toml, to the topic whose shards it is to read.",
        )


def port(layout: Layout) -> Iterator[Finding]:
    """Yield whether the metrics of `freshet trainer online --follow` can be had."""
    chosen = TrainerSettings.load()
    if chosen.http_port:
        yield listening.at("trainer's metrics", chosen.http_host, chosen.http_port, "FRESHET_TRAINER_HTTP_PORT")
    else:
        yield unused("trainer's metrics", "http_port is 0")
