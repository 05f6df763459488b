"""Foreign topics become the topic `events`: mapped, keyed by user, each record once.

One batch is one Kafka transaction. A crash between two steps leaves:
1. Read what comes next, map it. Nothing has happened yet.
2. Begin a transaction. Nothing that readers see: they read committed records only.
3. Send events, raw values and ticks. As before: the broker drops them.
4. Add the sources' next offsets to the same transaction, in the name of this member of the group.
5. Commit: events and offsets become true together.

Who starts again with the same name ends what it left open. Who was taken for dead meanwhile is refused at step 4,
since the group has moved on; it gives up the transaction and reads what is still its own again.
"""

from __future__ import annotations

import threading
from collections import Counter

from kafka import TopicPartition
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    InvalidProducerEpochError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    ProducerFencedError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from contracts.crash import reach
from contracts.errors import FreshetError, LogLost, MissingInput, MissingServer, UsageError
from contracts.events import Event, Item, Tick, encode
from streams.access import Access
from streams.attach.clients import Target, member, transactional_producer
from streams.attach.intake import Intake
from streams.attach.mapping import Origin
from streams.attach.pace import Pace, Timed
from streams.attach.ticker import Ticker
from streams.log import RawRecord, record_of
from streams.refusals import no_broker, no_right

POLL_MS = 250
_PATIENCE_S = 5


class Rekeyer:
    """Reads the topics of `intake` as a member of the group, and feeds `target`. Close it after use."""

    def __init__(self, access: Access, intake: Intake, target: Target) -> None:
        """Raises `MissingServer`, and `MissingInput` where a source topic does not exist."""
        self._access, self._intake, self._target = access, intake, target
        self._consumer = member(access, target)
        self._pace = Pace()
        self._committed: dict[TopicPartition, int] = {}
        self.counts: Counter[str] = Counter()
        try:
            self._ticker = Ticker(target.tick_seconds, self._partitions())
            self._producer = transactional_producer(access, target)
        except BaseException:
            self._consumer.close()
            raise

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop`.

        Raises `MissingServer`; `UsageError` where another process took this one's name; `LogLost` where retention
        deleted what had not been read; `AccessRefused` where a right is missing.
        """
        self.begin()
        while not stop.is_set():
            self.step()

    def begin(self) -> None:
        """Join the group; `step` from then on."""
        self._consumer.subscribe(self._intake.topics)

    def step(self) -> None:
        """Move one batch, if there is one, and the clock, if it is time."""
        batch: dict[TopicPartition, list[object]] = {}
        try:
            batch = self._consumer.poll(timeout_ms=POLL_MS, max_records=self._target.records)
            due = self._ticker.due()
            if batch or due:
                self._move(batch, due)
                batch = {}
                self._hold_back()
        except NoOffsetForPartitionError as error:  # nobody of the group has read these yet
            self._rewind(batch)
            self._consumer.seek_to_beginning(*error.args[0])
        except KafkaError as error:
            raise self._ending(error) from None

    def _ending(self, error: KafkaError) -> FreshetError:
        """Return what a person has to know about an error that ends the process."""
        target = self._target
        if isinstance(error, ProducerFencedError | InvalidProducerEpochError):
            return UsageError(
                f"another process attaches under the name {target.name!r} and has taken over",
                hint="Give each process a --name of its own that stays the same when it starts again.",
            )
        if isinstance(error, OffsetOutOfRangeError):
            return LogLost(
                f"records that group {target.group} has not read are gone from their topic: {error.args[0]}",
                hint="Raise the retention of the topic. To go on with what is left: `kafka-consumer-groups "
                f"--group {target.group} --all-topics --reset-offsets --to-earliest --execute`.",
            )
        if isinstance(error, AuthorizationError):
            doing = f"read the sources as group {target.group}, or write {target.events.name} by transactions"
            return no_right(self._access, doing)
        return MissingServer(
            f"a batch could not be moved to {target.events.name}: {type(error).__name__} {error}",
            hint="See to the broker, then run the same command again: it goes on where the last batch ended.",
        )

    def close(self) -> None:
        """Leave the group; what is not committed is read again by the next owner."""
        self._consumer.close(autocommit=False)
        self._producer.close(timeout=_PATIENCE_S)

    def _move(self, batch: dict[TopicPartition, list[object]], due: bool) -> None:
        """Take steps 1 to 5 for one batch; give the transaction up where the group has moved on."""
        # Step 1: map.
        counts: Counter[str] = Counter()
        timed = self._pace.ordered({at: self._mapped(records, counts) for at, records in batch.items()})
        for one in timed:
            self._ticker.sent(one.time)
        tick = self._ticker.next_tick(self._consumer) if due else None
        offsets = self._offsets(set(batch), due)
        if not offsets and tick is None:
            return
        reach("attach.move.1")
        # Step 2: begin.
        self._producer.begin_transaction()
        reach("attach.move.2")
        # Step 3: send.
        counts["ticks"] += self._send(timed, tick)
        reach("attach.move.3")
        try:
            # Step 4: the offsets.
            metadata = self._consumer.group_metadata()
            positions = {at: OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}
            self._producer.send_offsets_to_transaction(positions, metadata)
            reach("attach.move.4")
            # Step 5: commit.
            self._producer.commit_transaction()
            reach("attach.move.5")
        except (CommitFailedError, UnknownMemberIdError):
            self._producer.abort_transaction()
            self._rewind(batch)
            return
        self._committed.update(offsets)
        self.counts += counts

    def _mapped(self, records: list[object], counts: Counter[str]) -> list[Event | RawRecord]:
        events: list[Event | RawRecord] = []
        for record in records:
            origin = Origin(record.topic, record.partition, record.offset, record.timestamp)  # type: ignore[attr-defined]
            taken = self._intake.take(record.value, origin)  # type: ignore[attr-defined]
            counts["records"] += 1
            counts["not meant"] += not taken
            counts["rejected"] += sum(isinstance(event, RawRecord) for event in taken)
            events += taken
        counts["events"] += sum(not isinstance(event, RawRecord) for event in events)
        return events

    def _send(self, timed: list[Timed], tick: int | None) -> int:
        """Send all of a batch; return how many ticks."""
        events, items = self._target.events, self._target.items
        for one in timed:
            topic = items if items is not None and isinstance(one.event, Item) else events
            record = record_of(one.event, topic.partitions, one.time)
            self._producer.send(topic.name, record.value, record.key, partition=record.partition)
        if tick is None:
            return 0
        value = encode(Tick(tick))
        for partition in range(events.partitions):
            self._producer.send(events.name, value, partition=partition)
        return events.partitions

    def _offsets(self, read: set[TopicPartition], due: bool) -> dict[TopicPartition, int]:
        """Return the next offsets to commit: of what was read, and at a tick of all that moved over mere markers."""
        asked = self._consumer.assignment() if due else read
        found = {at: self._consumer.position(at) for at in asked}
        return {at: offset for at, offset in found.items() if offset is not None and self._committed.get(at) != offset}

    def _rewind(self, batch: dict[TopicPartition, list[object]]) -> None:
        self._committed.clear()
        for at in set(batch) & self._consumer.assignment():
            self._consumer.seek(at, batch[at][0].offset)  # type: ignore[attr-defined]

    def _hold_back(self) -> None:
        """Have the partitions wait that are far ahead of others."""
        own = self._consumer.assignment()
        self._pace.keep(own)
        self._committed = {at: offset for at, offset in self._committed.items() if at in own}
        ends = {at: self._consumer.highwater(at) for at in own}
        behind = {at for at, end in ends.items() if end is not None and (self._consumer.position(at) or 0) < end}
        waiting = self._pace.ahead(behind)
        self._consumer.pause(*waiting)
        self._consumer.resume(*(self._consumer.paused() - waiting))

    def _partitions(self) -> list[TopicPartition]:
        found: list[TopicPartition] = []
        for topic in self._intake.topics:
            try:
                partitions = self._consumer.partitions_for_topic(topic)
            except KafkaError as error:
                raise no_broker(self._access, error, f"read topic {topic!r}") from None
            if not partitions:
                raise MissingInput(
                    f"source topic {topic!r} does not exist on {self._access}",
                    hint="Check `topic` of its [[source]] table, and that this user may read it.",
                )
            found += [TopicPartition(topic, partition) for partition in sorted(partitions)]
        return found
