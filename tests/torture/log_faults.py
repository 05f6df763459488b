"""Faults of the log: made anew, cut by retention, aborted, doubled, out of order, ahead of its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from contracts import events, shards
from contracts.events import Click, Request
from contracts.partitions import murmur2, partition_of
from tests.torture.crew import Excuse
from tests.torture.fault import Fault
from tests.torture.logs import HOUR, SECOND, Planned, decoded
from tests.torture.round import Round, Steps
from tests.torture.verdict import Broken, Content, NotStruck, totals

LOSS = 200  # records that must wait, so that some are lost whatever is rolled forward
KEPT = 10  # of those that wait: the log goes on with them
NEVER = "never-committed"
DISORDER_MS = 30 * SECOND


@dataclass(frozen=True)
class TopicAnew(Fault):
    """The topic is deleted and created anew while no worker runs: refused by name."""

    name: ClassVar[str] = "topic-anew"
    refuses: ClassVar[bool] = True

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        game.crew.end_all()
        _anew(game)
        game.refused = "refused: " + (yield from _refusal(game, "created anew"))
        game.note("the topic was made anew while no worker ran")


@dataclass(frozen=True)
class TopicAnewUnderWorkers(Fault):
    """The topic is deleted and created anew while workers run: they end, and are refused by name when started again."""

    name: ClassVar[str] = "topic-anew-under-workers"
    refuses: ClassVar[bool] = True

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        game.crew.held = True  # nobody is started again until all have noticed by themselves
        running = list(game.crew.hands)
        game.crew.excuses += [Excuse(1), Excuse(2)]
        old = _anew(game)
        yield from game.wait(lambda: all(hand.code is not None for hand in running) or _beyond(game, old))
        if _beyond(game, old):
            raise Broken("workers went on in the new topic as if it were the old one")
        game.crew.held = False
        game.refused = "refused: " + (yield from _refusal(game, "created anew"))
        game.note(f"the topic was made anew under {len(running)} workers")


@dataclass(frozen=True)
class Retention(Fault):
    """Retention deletes records that no shard holds: refused by name, until an operator admits that they are lost."""

    name: ClassVar[str] = "retention"

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        game.crew.end_all()
        while (waiting := max(_waiting(game)))[0] < LOSS:  # nobody reads them
            if game.feed.done:
                raise NotStruck("too few records are left to be deleted unread")
            game.feed.send(game.feed.upcoming(LOSS))
        early = game.bench.content(game.topic, game.partitions)
        count, partition = waiting
        before = game.next_offsets()[partition] + count - KEPT
        game.bench.delete_records(game.topic, {partition: before})
        refusal = yield from _refusal(game, "retention has deleted them")
        game.crew.end_all()
        self._admit(game, partition)
        yield from game.wait(game.complete)
        entries = list(shards.chain(game.layout, game.topic, partition).entries())
        lost = [entry.body for entry in entries if entry.body.kind == "lost"]
        if len(lost) != 1 or lost[0].next_offset != before:
            raise Broken(f"the chain of partition {partition} does not say that records up to {before} are lost")
        game.content = early.with_later(game.bench.content(game.topic, game.partitions))
        game.note(f"{refusal}; offsets {lost[0].first_offset} to {before - 1} were admitted as lost")

    def _admit(self, game: Round, partition: int) -> None:
        said = game.command("admit-lost", "--partition", str(partition), "--reason", "torture")
        if said.returncode or "as lost" not in said.stdout:
            raise Broken(f"admit-lost ended with {said.returncode}: {said.stdout}{said.stderr}")


@dataclass(frozen=True)
class AbortedTransaction(Fault):
    """One transaction is aborted and one is committed between the records of the plain producer."""

    name: ClassVar[str] = "aborted-transaction"
    count: int

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        if game.feed.done:
            raise NotStruck("nothing follows the transaction")
        game.bench.transaction(game.topic, _clicks(game, self.count, NEVER), commit=False)
        game.bench.transaction(game.topic, _clicks(game, self.count, "committed"), commit=True)
        yield from game.wait(game.complete)
        chains = [shards.chain(game.layout, game.topic, partition) for partition in range(game.partitions)]
        items = [sample.item_id for chain in chains for sample in shards.read_from(chain)]
        if NEVER in items or items.count("committed") != self.count:
            raise Broken(f"{items.count(NEVER)} aborted records were read, {items.count('committed')} committed ones")
        game.note(f"{self.count} records were aborted, and as many committed")


@dataclass(frozen=True)
class DoubledProducer(Fault):
    """A producer sends its last records once more: duplicates are counted, and add no sample."""

    name: ClassVar[str] = "doubled-producer"
    count: int

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        again = game.feed.sent[-self.count :]
        game.feed.send(again)
        repeated = sum(isinstance(event := decoded(r), Click) and bool(event.event_id) for r in again)
        yield from game.wait(game.complete)
        chains = [shards.chain(game.layout, game.topic, partition) for partition in range(game.partitions)]
        counted = sum(totals(list(chain.entries()))["clicks:duplicate"] for chain in chains)
        if not 0 < repeated <= counted:
            raise Broken(f"{repeated} clicks came twice, {counted} were counted as duplicates")
        game.note(f"{len(again)} records came twice, {repeated} clicks with an event id among them")


@dataclass(frozen=True)
class DisorderedProducer(Fault):
    """A producer sends records in another order, no two of them further apart than half a minute."""

    name: ClassVar[str] = "disordered-producer"
    count: int

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        dice, records = self.dice, game.feed.upcoming(self.count)
        shuffled = sorted(records, key=lambda record: record.time + dice.randrange(DISORDER_MS))
        moved = sum(was is not now for was, now in zip(records, shuffled, strict=True))
        game.feed.put_first(shuffled)
        sent = len(game.feed.sent) + len(shuffled)
        yield from game.wait(lambda: len(game.feed.sent) >= sent)
        if not moved:
            raise NotStruck("the order stayed as it was")
        game.note(f"{moved} records came out of order")


@dataclass(frozen=True)
class ClockAhead(Fault):
    """One of three producers stamps two hours too many: the watermark must not run ahead with it."""

    name: ClassVar[str] = "clock-ahead"
    count: int

    def strike(self, game: Round) -> Steps:
        yield from game.wait(lambda: self.at(game))
        records = game.feed.upcoming(self.count)
        stamped = [_ahead(record) if _of_one_producer(record) else record for record in records]
        wrong = sum(was is not now for was, now in zip(records, stamped, strict=True))
        if not wrong:
            raise NotStruck("no record was stamped wrongly")
        game.feed.put_first(stamped)
        yield from game.wait(lambda: game.complete() or _watermark(game) > game.feed.now)
        if _watermark(game) > game.feed.now:
            ahead = (_watermark(game) - game.feed.now) / HOUR
            raise Broken(f"the watermark ran ahead with one producer, {ahead:.1f} hours beyond the newest record")
        game.note(f"{wrong} records were stamped two hours ahead")


def _watermark(game: Round) -> int:
    return max(head.body.watermark if head else 0 for head in game.heads())


def _of_one_producer(record: Planned) -> bool:
    return record.key is not None and murmur2(record.key) % 3 == 0


def _ahead(record: Planned) -> Planned:
    event = decoded(record)
    if not isinstance(event, Click | Request):
        return record
    return record._replace(
        value=events.encode(msgspec.structs.replace(event, ingest_time=event.ingest_time + 2 * HOUR))
    )


def _clicks(game: Round, count: int, item: str) -> list[Planned]:
    """Return clicks on one item, at the time that the log has come to."""
    users = [f"u{number}" for number in range(count)]
    now = game.feed.now
    return [
        Planned(partition_of(user, game.partitions), user.encode(), events.encode(Click(user, item, now, now)), now)
        for user in users
    ]


def _anew(game: Round) -> Content:
    """Return what the topic held; delete it, create it again, and send it more records of the same kind."""
    game.content = old = game.bench.content(game.topic, game.partitions)
    game.bench.delete_topic(game.topic)
    game.bench.make_topic(game.topic, game.partitions)
    game.feed.send([*game.feed.sent, *game.feed.upcoming(len(game.feed.planned))])
    return old


def _beyond(game: Round, old: Content) -> bool:
    """Tell whether a chain holds offsets that the old topic never had."""
    return any(offset > old.ends[partition] for partition, offset in enumerate(game.next_offsets()))


def _waiting(game: Round) -> list[tuple[int, int]]:
    """Return how many records were sent and are in no shard, with their partition.

    A partition that has no shard yet is left out: a new chain starts where the log does, and misses nothing.
    """
    sent = Counter(record.partition for record in game.feed.sent)
    return [(sent[partition] - offset, partition) for partition, offset in enumerate(game.next_offsets()) if offset]


def _refusal(game: Round, words: str) -> Generator[None, None, str]:
    """Wait until a worker that is started now ends with exit code 2 and these words; return its sentence."""
    before = len(game.crew.gone)
    game.crew.excuses.append(Excuse(2, words))
    while True:
        for hand in game.crew.gone[before:]:
            if hand.code == 2 and words in hand.text():
                return (
                    next(line for line in hand.text().splitlines() if words in line).removeprefix("freshet: ").strip()
                )
        yield
