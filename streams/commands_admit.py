"""`freshet streams admit-lost`: an operator's order to go on behind records that the log no longer holds."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import command_line, shards
from contracts.errors import StateHeld, UsageError
from contracts.layout import Layout
from contracts.shards import Shard
from streams.join import Windows
from streams.settings import StreamsSettings
from streams.shard_writer import PartitionWriter
from streams.topics import Log


def admit_lost(argv: Sequence[str]) -> int:
    """`freshet streams admit-lost`."""
    parser = command_line.parser(
        "streams admit-lost",
        "Go on behind records that retention deleted before they were read.\n\n"
        "A worker that finds them gone ends with exit code 2. This writes a manifest that says which offsets are lost\n"
        "and why; the workers go on behind them. Clicks that waited for a request leave as orphans; requests and\n"
        "event ids from before the gap are forgotten. It also brings changed windows (settings) into force, which a\n"
        "worker refuses. Stop the workers first.",
        "examples:\n  freshet streams admit-lost --partition 3 --reason 'broker disk lost on 24 November, INC-812'",
    )
    parser.add_argument("--partition", type=int, required=True, metavar="N", help="the partition that lacks records")
    parser.add_argument("--reason", required=True, help="why they are gone; it goes on record")
    parser.add_argument("--bootstrap", help="Kafka brokers, host:port (default: setting `bootstrap`)")
    parser.add_argument("--topic", help="topic of the events (default: setting `topic`)")
    arguments = parser.parse_args(argv)
    if not arguments.reason.strip():
        raise UsageError("--reason is empty", hint="Say why the records are gone: it goes on record.")
    settings = StreamsSettings.load(bootstrap=arguments.bootstrap, topic=arguments.topic)
    admitted = admit(command_line.layout(arguments), settings, arguments.partition, arguments.reason.strip())
    where = f"partition {arguments.partition} of {settings.topic}"
    if admitted is None:
        print(f"{where}: the log still holds what is needed; nothing was written")
        return 0
    orphans = sum(admitted.emitted.values())
    gone = admitted.next_offset - admitted.first_offset
    print(f"{where}: {gone} offsets from {admitted.first_offset} on are on record as lost")
    print(f"{orphans} parked clicks left as orphans. The workers go on at offset {admitted.next_offset}.")
    return 0


def admit(layout: Layout, settings: StreamsSettings, partition: int, reason: str) -> Shard | None:
    """Commit the manifest of the records lost in `partition`; None where none are missing.

    Raises `UsageError` for a partition that does not exist or has no shards, `StateHeld` while a worker owns it.
    """
    log = Log(settings.access, settings.topic)
    topic = log.identity()
    if not 0 <= partition < topic.partitions:
        raise UsageError(f"topic {topic.name} has partitions 0 to {topic.partitions - 1}, not {partition}")
    start, _ = log.span(partition)
    head = shards.chain(layout, topic.name, partition).head()
    until_now = Windows.of(head.body.windows) if head and head.body.windows else settings.windows
    writer = PartitionWriter(layout, topic, partition, until_now, settings.rotation)
    try:
        if writer.state.directory != layout.stream_state(topic.name, partition):
            raise StateHeld(
                f"a worker owns partition {partition} of {topic.name}",
                hint="Stop the workers of this run folder, then say it again.",
            )
        return writer.admit_lost(start, reason, settings.windows)
    finally:
        writer.close()
