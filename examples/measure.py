"""Recall of the served version against the frozen base, window by window: scored before it is learned.

A window's clicks are scored with what was served at its start. All arms leave out the same clicked items (the served
rings), and an item that nobody can recommend counts as a miss, for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import and_
from pathlib import Path

import msgspec
import numpy as np

from contracts import durable, sealed, shards
from contracts.days import clock, shown
from contracts.errors import FreshetError
from contracts.layout import Layout
from contracts.samples import Sample
from contracts.shards import ShardChain
from serving.answer import Query
from serving.exact_search import ExactSearch
from serving.served_view import ServedView
from streams.records import Topic

BATCH = 512
WINDOW_MS = 1_800_000
FROZEN, FRESH = "frozen base", "fresh: rows + trend table"
TREND, TREND_FROZEN_ROWS = "trend table alone", "trend table + frozen rows"


class Window(msgspec.Struct, frozen=True):
    """One window's figures: hits among the top k by arm, of all clicks and of users who had clicked earlier that day.

    `known`: clicks on items that the base knows.
    """

    end: int
    version: int
    k: int
    clicks: int
    known: int
    active: int
    hits: dict[str, int]
    active_hits: dict[str, int]

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


def arms(view: ServedView) -> dict[str, ServedView]:
    """Return what is compared: the frozen control, the trend table alone, it with frozen rows, and what is served."""
    frozen = view.frozen()
    nothing = replace(view.parts.catalogue, vectors=np.zeros_like(view.parts.catalogue.vectors))
    blind = replace(view.parts, catalogue=nothing, search=ExactSearch(nothing))
    priors = replace(view.trend, mean_vector=np.zeros_like(view.trend.mean_vector))
    return {
        FROZEN: frozen,
        TREND: replace(view, parts=blind, trend=priors),
        TREND_FROZEN_ROWS: replace(view, users=frozen.users),
        FRESH: view,
    }


def score(view: ServedView, window: Sequence[Sample], day: DaySamples, end: int, k: int) -> Window:
    """Score a window with all arms of a served view. Raises `FreshetError` when the view has seen the window."""
    if view.shown.trend_time > end - WINDOW_MS:
        raise FreshetError(
            f"version {view.version} knows more than was known when the window before {shown(end)} began",
            hint="The notes of an earlier run are gone: remove the run folder and start again.",
        )
    active = [sample.user_id in day.active for sample in window]
    found = {arm: _hits(of, window, k) for arm, of in arms(view).items()}
    return Window(
        end=end,
        version=view.version,
        k=k,
        clicks=len(window),
        known=sum(sample.item_id in view.parts.catalogue.row_of for sample in window),
        active=sum(active),
        hits={arm: sum(hits) for arm, hits in found.items()},
        active_hits={arm: sum(map(and_, hits, active)) for arm, hits in found.items()},
    )


def _hits(view: ServedView, window: Sequence[Sample], k: int) -> list[bool]:
    hits = []
    for at in range(0, len(window), BATCH):
        batch = window[at : at + BATCH]
        answers = view.retrieve_many([Query(sample.user_id, sample.context) for sample in batch], k)
        pairs = zip(batch, answers, strict=True)
        hits += [any(item.item_id == sample.item_id for item in answer.items) for sample, answer in pairs]
    return hits
