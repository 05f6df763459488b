"""What a round must have arrived at: the samples of an undisturbed fold of what the topic really holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from contracts import events, layout, samples, shards
from contracts.chain import Entry
from contracts.errors import EventRejected
from contracts.layout import Layout
from contracts.shards import Shard, ShardChain
from streams.join import Windows
from streams.pipeline import Rotation
from streams.records import Record, Topic
from streams.shard_writer import PartitionWriter
from tests.torture.logs import HOUR, closing

NO_END = 1 << 62
UNCUT = Rotation(4096, HOUR)  # other cuts than any round's: they leave no trace in samples


class Broken(Exception):
    """A guarantee did not hold, or the round could not be played; the text says which."""


class NotStruck(Broken):
    """A planned fault did not happen: the round proves nothing, and that is the harness's fault."""


@dataclass(frozen=True)
class Content:
    """What a topic holds, by partition: the readable records, and the next offset of the log."""

    topic: Topic
    records: Mapping[int, Sequence[Record]]
    ends: Mapping[int, int]

    def with_later(self, later: Content) -> Content:
        """Return what was there, now or when `later` was read."""
        both = {
            partition: sorted({record.offset: record for record in (*records, *later.records[partition])}.values())
            for partition, records in self.records.items()
        }
        return Content(self.topic, both, later.ends)


@dataclass(frozen=True)
class Judge:
    """Compares the chains under `run` with a fold of `content` that nothing disturbs, made under `folder`.

    `whole`: the chains hold everything; else they end where a refusal ended them.
    """

    run: Layout
    folder: Path
    windows: Windows
    whole: bool

    def check(self, content: Content) -> None:
        """Raise `Broken` at the first difference, and whatever a damaged chain raises."""
        for partition in range(content.topic.partitions):
            chain = shards.chain(self.run, content.topic.name, partition)
            entries = list(chain.entries())
            _check_files(chain, entries)
            if entries:
                self._recover(entries[0].body)
                entries = list(chain.entries())  # it may have rolled a pending manifest forward
            shards.verify(chain)
            self._check_offsets(content, partition, entries)
            self._compare(content, partition, chain, entries)

    def _recover(self, body: Shard) -> None:
        """Take the partition over once more: after that no orphan may be left up to the head."""
        topic = Topic(body.topic, body.topic_id, body.partitions)
        PartitionWriter(self.run, topic, body.partition, self.windows, UNCUT).close()
        left = shards.chain(self.run, body.topic, body.partition).remove_orphans()
        if left:
            raise Broken(f"partition {body.partition}: the next owner has left the orphans {left}")

    def _check_offsets(self, content: Content, partition: int, entries: list[Entry[Shard]]) -> None:
        records = content.records[partition]
        next_offset = entries[-1].body.next_offset if entries else 0
        if entries and entries[0].body.first_offset != 0:
            raise Broken(f"partition {partition}: the chain starts at {entries[0].body.first_offset}, the log at 0")
        if self.whole and next_offset != content.ends[partition]:
            raise Broken(
                f"partition {partition}: the chain ends at {next_offset}, the log at {content.ends[partition]}"
            )
        held = [entry.body for entry in entries if entry.body.kind == "samples"]
        counted = sum(body.records for body in held)
        there = sum(1 for record in records if any(b.first_offset <= record.offset < b.next_offset for b in held))
        if counted != there:
            raise Broken(f"partition {partition}: the shards count {counted} records, their offsets hold {there}")

    def _compare(self, content: Content, partition: int, chain: ShardChain, entries: list[Entry[Shard]]) -> None:
        lost = [entry.body for entry in entries if entry.body.kind == "lost"]
        reference = self._fold(content.topic, partition, content.records[partition], lost)
        count = entries[-1].body.next_ordinal if entries else 0
        wanted = samples.digest(islice(shards.read_from(reference), count))
        if wanted != shards.samples_digest(chain):
            raise Broken(f"partition {partition}: its {count} samples are not those of an undisturbed fold")
        if self.whole:
            _same_facts(partition, entries, list(reference.entries()))

    def _fold(self, topic: Topic, partition: int, records: Sequence[Record], lost: Sequence[Shard]) -> ShardChain:
        """Fold what was not lost; where it was, the fold admits it too, as an operator did in the run."""
        beside = Layout(self.folder)
        writer = PartitionWriter(beside, topic, partition, self.windows, UNCUT)
        writer.begin(0, NO_END)
        for gap in lost:
            writer.feed(record for record in records if record.offset < gap.first_offset)
            writer.finish()
            writer.admit_lost(gap.next_offset, gap.reason)
        writer.feed(records if self.whole else [*records, *_closing(records)])
        writer.close()
        return shards.chain(beside, topic.name, partition)


def _closing(records: Sequence[Record]) -> list[Record]:
    """Return ticks that close what is open behind the last of `records`."""
    offset = records[-1].offset + 1 if records else 0
    now = max((event.ingest_time for record in records if (event := _decoded(record.value))), default=0)
    return [Record(at, tick.value) for at, tick in enumerate(closing(now, 1), start=offset)] if now else []


def _decoded(value: bytes | None) -> events.Event | None:
    try:
        return events.decode(value)
    except EventRejected:
        return None


def _check_files(chain: ShardChain, entries: list[Entry[Shard]]) -> None:
    """Refuse a name that looks like a manifest and is none of the chain's."""
    names = [path.name for path in chain.directory.iterdir()] if chain.directory.exists() else []
    manifests = {name for name in names if layout.numbered(name) and "-" not in name}
    if manifests != {layout.manifest_name(entry.number) for entry in entries}:
        raise Broken(f"{chain.directory} holds manifests that its chain does not reach: {sorted(manifests)[-3:]}")
    strange = [name for name in names if layout.numbered(name) is None and not (name[0] == "." and name[-4:] == ".tmp")]
    if strange:
        raise Broken(f"{chain.directory} holds {strange[:3]}")


def _same_facts(partition: int, entries: list[Entry[Shard]], reference: list[Entry[Shard]]) -> None:
    found, wanted = totals(entries), totals(reference)
    if found != wanted:
        raise Broken(f"partition {partition}: counters {found}, those of an undisturbed fold {wanted}")
    if entries and entries[-1].body.watermark != reference[-1].body.watermark:
        raise Broken(f"partition {partition}: another watermark than that of an undisturbed fold")


def totals(entries: Sequence[Entry[Shard]]) -> Counter[str]:
    """Return what the manifests count, all outcomes and kinds of samples together."""
    total: Counter[str] = Counter()
    for entry in entries:
        total.update(entry.body.read)
        total.update({f"sample:{joined}": count for joined, count in entry.body.emitted.items()})
    return total
