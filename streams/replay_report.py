"""What `freshet streams replay` shows: a bar with events and rate while it runs, and a table of what is there then."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from contracts import shards
from contracts.days import shown
from contracts.layout import Layout
from streams.inspection import PartitionFacts
from streams.inspection_text import print_counts
from streams.records import Topic
from streams.replay_frames import Span

_UPDATE_S = 0.1


class Bar:
    """A progress bar that counts events; its clock starts when it is entered."""

    def __init__(self, name: str, total: int | None) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:,} events, {task.fields[rate]:,.0f}/s"),
        )
        self._progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True))
        self._task = self._progress.add_task(name, total=total, rate=0.0)
        self._shown = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, events: int) -> None:
        """Show that so many events are read."""
        now = time.perf_counter()
        if now - self._shown >= _UPDATE_S:
            self._shown = now
            self._progress.update(self._task, completed=events, rate=events / (now - self._began))

    def end(self, events: int) -> float:
        """Show that these were all; return the seconds since the start."""
        seconds = time.perf_counter() - self._began
        self._progress.update(self._task, completed=events, total=events, rate=events / seconds)
        return seconds


def print_spans(spans: Mapping[int, Span]) -> None:
    """Say which offsets of a topic are taken, and how much is read before them."""
    table = Table(title="the range", title_justify="left")
    for column in ("partition", "first offset", "next offset", "read before it"):
        table.add_column(column, justify="right")
    for partition, span in sorted(spans.items()):
        lost = " (no more is left)" if span.log_start == span.warm < span.first else ""
        table.add_row(f"{partition}", f"{span.first:,}", f"{span.end:,}", f"{span.first - span.warm:,}{lost}")
    Console(stderr=True).print(table)


def print_result(layout: Layout, topic: Topic, found: Iterable[PartitionFacts]) -> None:
    """Print what the shards of the partitions hold now, from earlier runs too."""
    read: Counter[str] = Counter()
    emitted: Counter[str] = Counter()
    table = Table(title=f"replayed into {layout.root}", title_justify="left")
    for column in ("partition", "shards", "records", "samples", "watermark (UTC)", "digest of the samples"):
        table.add_column(column, justify="left" if column.startswith("digest") else "right")
    digests: dict[int, str] = {}
    for facts in found:
        read.update(facts.read)
        emitted.update(facts.emitted)
        digests[facts.partition] = facts.digest
        numbers = (f"{number:,}" for number in (facts.partition, facts.shards, sum(facts.read.values()), facts.samples))
        table.add_row(*numbers, shown(facts.watermark) if facts.watermark >= 0 else "none yet", facts.digest[:16])
    Console().print(table)
    print_counts("records read", read)
    print_counts("samples emitted", emitted)
    print(f"{'digest of all':<16} {shards.combined(digests)}")
    print(f"{'look closer':<16} .venv/bin/freshet streams inspect --root {layout.root} --topic {topic.name} --verify")


def print_rate(records: int, dropped: int, seconds: float) -> None:
    """Say how many records went through in this run, and how many the shards had already."""
    had = f"; {dropped:,} more were in the shards already" if dropped else ""
    print(f"{'this run':<16} {records:,} records in {seconds:.2f} s: {records / seconds:,.0f} a second{had}")
