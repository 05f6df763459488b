"""What `freshet doctor` asks Kafka: whether it lets us in, and whether the topic is still the one of the shards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from shlex import quote

from contracts import shards
from contracts.errors import AccessRefused, FreshetError
from contracts.findings import Finding, fault, of_error, ok, unused, warning
from contracts.layout import Layout
from contracts.shards import Shard
from streams.access import Access
from streams.records import Topic
from streams.refusals import asked
from streams.settings import StreamsSettings
from streams.shard_writer import check_same_log, check_same_windows
from streams.topics import Log

_DEFAULT = StreamsSettings.model_fields["bootstrap"].default


def look(layout: Layout) -> Iterator[Finding]:
    """Yield from the outside in: broker, topic, rights, identity, how far the log reaches back."""
    settings = StreamsSettings.load()
    heads = shards.readable_heads(layout, settings.topic)
    answers = False
    for finding in _brokers(settings.access):
        answers |= finding.verdict == "ok"
        if finding.verdict == "fault" and settings.bootstrap == _DEFAULT and not any(map(_of_kafka, heads.values())):
            finding = unused("broker", f"nothing answers at {_DEFAULT}, the default, and no shard comes from Kafka")
        yield finding
    if answers:
        yield from _topic(layout, settings, heads)


def _of_kafka(shard: Shard) -> bool:
    """Tell whether a shard was made from a topic: a replayed file has no UUID."""
    try:
        return bool(uuid.UUID(shard.topic_id))
    except ValueError:
        return False


def _brokers(access: Access) -> Iterator[Finding]:
    """Yield a finding for each address, those that answer first: one of them is enough to begin with."""
    refusals = {server: asked(access, server) for server in access.servers}
    well = [server for server, refusal in refusals.items() if refusal is None]
    if well:
        login = f" and lets {access.who} in" if access.uses_sasl or access.tls_certificate_file else ""
        yield ok("broker", f"{', '.join(well)} answers by {access.security_protocol}{login}")
    for server, refusal in refusals.items():
        if refusal is None:
            continue
        if well and not isinstance(refusal, AccessRefused):
            yield warning("broker", f"nothing answers at {server}", "Take it out of bootstrap, or start it.")
        else:
            yield of_error("broker", refusal)
            if not well:
                return


def _topic(layout: Layout, settings: StreamsSettings, heads: dict[int, Shard]) -> Iterator[Finding]:
    log = Log(settings.access, settings.topic)
    try:
        topic = log.identity()
        log.require_read(settings.group)
    except FreshetError as error:
        yield of_error(f"topic {settings.topic}", error)
        return
    yield ok(f"topic {topic.name}", f"{topic.partitions} partitions, id {topic.topic_id}; {settings.group} may read it")
    yield from _others(settings)
    changed = next(_changes(settings, topic, heads), None)
    if changed:
        yield changed
        return
    if heads:
        yield ok("identity", f"the shards of {len(heads)} partitions were made from this topic, under these settings")
    yield _retention(settings, log)
    yield from _reach(layout, settings, log, heads)


def _others(settings: StreamsSettings) -> Iterator[Finding]:
    """Yield whether the other topics that the settings name are there."""
    named = {source.topic: f"a source of {source.kind}s" for source in settings.source}
    if any(source.kind == "item" for source in settings.source):
        named[settings.items_topic] = "for items"
    if settings.dead_letter_topic:
        named[settings.dead_letter_topic] = "for dead letters"
    for topic, what_for in named.items():
        try:
            partitions = Log(settings.access, topic).identity().partitions
        except FreshetError as error:
            yield of_error(f"topic {topic}", error)
        else:
            yield ok(f"topic {topic}", f"{partitions} partitions, {what_for}")


def _changes(settings: StreamsSettings, topic: Topic, heads: dict[int, Shard]) -> Iterator[Finding]:
    for head in heads.values():
        try:
            check_same_log(topic, head)
            check_same_windows(topic, head, settings.windows)
        except FreshetError as error:
            yield of_error("identity", error)


def _retention(settings: StreamsSettings, log: Log) -> Finding:
    """Return whether the topic keeps records for as long as a rebuild reads back."""
    try:
        kept, needed = log.retention_ms(), settings.windows.horizon_ms
    except AccessRefused as error:  # a worker does not need this right
        return unused("retention", str(error))
    hours = f"a rebuild reads back {needed / 3_600_000:.1f} h"
    if kept is None:
        return ok("retention", f"records are kept for ever; {hours}")
    said = f"records are kept for {kept / 3_600_000:.1f} h; {hours}"
    if kept < needed:
        return warning(
            "retention",
            f"{said}: a worker that has to rebuild will end with LogLost",
            f"kafka-configs.sh --bootstrap-server {settings.bootstrap} --alter --topic {quote(log.topic)} "
            f"--add-config retention.ms={2 * needed}",
        )
    return ok("retention", said)


def _reach(layout: Layout, settings: StreamsSettings, log: Log, heads: dict[int, Shard]) -> Iterator[Finding]:
    """Yield for each partition whether the log still holds what its next owner needs, and how far there is to go."""
    behind = 0
    spans = log.spans(sorted(heads)) if heads else {}
    for partition, (start, end) in spans.items():
        head = heads[partition]
        behind += max(end - head.next_offset, 0)
        if end < head.next_offset:
            yield fault(
                f"log of partition {partition}",
                f"it ends at offset {end}, and the shards hold records up to {head.next_offset}: it lost its tail, and "
                "workers end with LogLost",
                "The broker lost records that it had acknowledged. Begin anew under another --root.",
            )
        elif start > head.rebuild.offset:
            yield _lost(layout, settings, (partition, start), head)
    if heads:
        yield ok("lag", f"{behind:,} records behind the newest shards")


def _lost(layout: Layout, settings: StreamsSettings, where: tuple[int, int], head: Shard) -> Finding:
    partition, start = where
    admit = f"freshet streams admit-lost --topic {quote(settings.topic)} --partition {partition} --reason WHY"
    said = f"it starts at offset {start}, and a rebuild needs records from {head.rebuild.offset} on"
    what = f"log of partition {partition}"
    state = layout.stream_state(settings.topic, partition)
    if start <= head.next_offset and state.is_dir():
        return warning(
            what,
            f"{said}: whoever takes over without the state on this machine ends with LogLost",
            f"Keep {state}, and raise the topic's retention. If it is lost: {admit}",
        )
    return fault(what, f"{said}: workers end with LogLost", f"Raise the topic's retention, then give them up: {admit}")
