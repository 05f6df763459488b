"""Recall of the served version against the frozen base, window by window: scored before it is learned.

A window's clicks are scored with what was served at its start. Both arms leave out the same clicked items (the served
rings), and an item that nobody can recommend counts as a miss, for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contracts import durable, sealed, shards
from contracts.days import clock
from contracts.layout import Layout
from contracts.samples import Sample
from contracts.shards import ShardChain
from serving.answer import Query
from serving.served_view import ServedView
from streams.pipeline import Topic

BATCH = 512


class Window(msgspec.Struct, frozen=True):
    """One window's figures: hits among the top k, of all clicks and of users who had clicked earlier that day."""

    end: int
    version: int
    k: int
    clicks: int
    known: int
    active: int
    frozen_hits: int
    fresh_hits: int
    frozen_active_hits: int
    fresh_active_hits: int

    def label(self, zone_name: str) -> str:
        """Return the time of day at which the window ends."""
        return f"{clock(self.end, zone_name):%H:%M}"


class Notebook:
    """The windows measured so far, kept in a file, so that an interrupted walk goes on with them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.windows: list[Window] = []
        if path.exists():
            document, _ = sealed.unseal(path.read_bytes(), str(path))
            self.windows = msgspec.json.decode(document, type=list[Window])

    def has(self, end: int) -> bool:
        """Whether the window that ends then was measured."""
        return any(window.end == end for window in self.windows)

    def add(self, window: Window) -> None:
        """Note a window, durably."""
        self.windows.append(window)
        durable.replace_file(self._path, sealed.seal(msgspec.json.encode(self.windows)))


@dataclass
class _Tail:
    """A partition's chain and how far it was read."""

    chain: ShardChain
    reached: int


class DaySamples:
    """The committed samples of the last day, in windows of watermark; remembers who clicked earlier that day."""

    def __init__(self, layout: Layout, topic: Topic, start: int) -> None:
        self._tails = [_Tail(shards.chain(layout, topic.name, p), 0) for p in range(topic.partitions)]
        self._waiting: list[Sample] = []
        self._start = start
        self.active: set[str] = set()

    def until(self, end: int) -> list[Sample]:
        """Return the samples emitted before `end` that were not returned yet."""
        for tail in self._tails:
            for entry in tail.chain.entries(after=tail.reached):
                tail.reached = entry.number
                if entry.body.watermark >= self._start:
                    found = shards.read_samples(tail.chain, entry)
                    self._waiting += [sample for sample in found if sample.watermark >= self._start]
        window = [sample for sample in self._waiting if sample.watermark < end]
        self._waiting = [sample for sample in self._waiting if sample.watermark >= end]
        return window

    def remember(self, window: Sequence[Sample]) -> None:
        """Count the users of a window as active from now on."""
        self.active.update(sample.user_id for sample in window)


def score(view: ServedView, window: Sequence[Sample], day: DaySamples, end: int, k: int) -> Window:
    """Score a window with a served view and its frozen control."""
    fresh, frozen = _hits(view, window, k), _hits(view.frozen(), window, k)
    active = [sample.user_id in day.active for sample in window]
    known = sum(sample.item_id in view.parts.catalogue.row_of for sample in window)
    return Window(
        end=end,
        version=view.version,
        k=k,
        clicks=len(window),
        known=known,
        active=sum(active),
        frozen_hits=sum(frozen),
        fresh_hits=sum(fresh),
        frozen_active_hits=sum(hit for hit, was in zip(frozen, active, strict=True) if was),
        fresh_active_hits=sum(hit for hit, was in zip(fresh, active, strict=True) if was),
    )


def _hits(view: ServedView, window: Sequence[Sample], k: int) -> list[bool]:
    hits = []
    for at in range(0, len(window), BATCH):
        batch = window[at : at + BATCH]
        answers = view.retrieve_many([Query(sample.user_id, sample.context) for sample in batch], k)
        pairs = zip(batch, answers, strict=True)
        hits += [any(item.item_id == sample.item_id for item in answer.items) for sample, answer in pairs]
    return hits
