"""The walk of a log through all stages, by the commands and functions that production uses.

 1. read the log once: which days it has.
 2. send the days before the last; the pipeline commits them as shards.
 3. full retrain on them; publish the base.
 4. window by window of the last day: send, wait for the shards, measure with what is served, wait for the deltas,
    publish.
 5. the page of results.

Every step finds what an earlier run has done, so an interrupted walk goes on with the same command.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from contracts import days, deltas, served, shards
from contracts.bases import Base, BaseStore
from contracts.layout import Layout
from examples import outcome
from examples.calendar import Calendar, grouped, read_calendar, windows
from examples.children import Child, run_command
from examples.measure import WINDOW_MS, DaySamples, Notebook, score
from examples.transport import PARTITIONS, SHARD_SECONDS, Transport, watermark
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.settings import ServingSettings
from streams.log import LogRecord
from streams.sources.source import Source

TOP_K = 20
POLL_S = 0.02
BATCH = 5000

Records = Iterator[LogRecord]


class Walk:
    """One run of the demo over one log. `speed`: times real time for the last day, 0 for no limit."""

    def __init__(self, layout: Layout, source: Source, opened: Transport, console: Console, speed: float) -> None:
        self._layout, self._source, self._opened = layout, source, opened
        self._console, self._speed = console, speed
        self._sent = 0
        self._trainer: Child | None = None
        columns = (TextColumn("{task.description:<44}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console)

    def run(self, why: str) -> None:
        """Walk all five steps."""
        started = time.monotonic()
        with self._bar:
            calendar = self._read()
            start, _ = days.bounds(calendar.last, calendar.zone)
            ends = [end for end in windows(calendar.last, calendar.zone, WINDOW_MS) if end - WINDOW_MS < calendar.end]
            groups = grouped(self._opened.missing(self._records()), [start, *ends])
            self._history(next(groups)[1], calendar, start)
        base = self._base(calendar)
        with self._bar:
            notebook = self._day(groups, base, (start, len(ends)), calendar.last)
        facts = [("transport", why), ("took", f"{time.monotonic() - started:.0f} s")]
        outcome.show(
            self._console, self._layout, outcome.Walked(self._opened.topic, base, calendar, notebook, self._sent), facts
        )

    def _read(self) -> Calendar:
        task = self._bar.add_task("1  reading the log", total=self._source.total)
        calendar = read_calendar(self._source, lambda rows: self._bar.update(task, completed=rows))
        self._bar.update(task, completed=calendar.rows, total=calendar.rows)
        return calendar

    def _records(self) -> Records:
        """Yield the whole log, with ticks as far apart as shards, so that every shard is complete at its end."""
        for record in self._source.records(PARTITIONS, tick_ms=SHARD_SECONDS * 1000):
            self._sent += 1
            yield record

    def _history(self, records: Records, calendar: Calendar, start: int) -> None:
        name = f"2  {calendar.history[0]} … {calendar.history[-1]} into shards"
        first, _ = days.bounds(calendar.history[0], calendar.zone)
        task = self._bar.add_task(name, total=start - first)

        def reached() -> bool:
            at = watermark(self._layout, self._opened.topic)
            self._bar.update(task, completed=min(max(at, first), start) - first)
            return at >= start

        batch: list[LogRecord] = []
        for record in records:
            batch.append(record)
            if len(batch) == BATCH:
                self._opened.send(batch)
                batch.clear()
                reached()
        self._opened.send(batch)
        self._wait(reached)

    def _base(self, calendar: Calendar) -> Base:
        self._console.print("3  full retrain on the days before, shuffled, one epoch a day", highlight=False)
        words = ["--root", str(self._layout.root), "--topic", self._opened.topic.name, "--day-zone", calendar.zone]
        words += ["--accept-day", self._source.uneven] if self._source.uneven else []
        *earlier, last = calendar.history
        if earlier:  # then the last one is a night like others: its online settings are calibrated
            first = [word for day in earlier for word in ("--day", day)]
            parent = run_command("trainer", "retrain", *words, *first, "--from-scratch").split()[1]
            base_id = run_command("trainer", "retrain", *words, "--day", last, "--parent", parent).split()[1]
        else:
            base_id = run_command("trainer", "retrain", *words, "--day", last, "--from-scratch").split()[1]
        if served.head(self._layout) is None:
            self._publish(base_id)
        return BaseStore(self._layout).open(base_id).manifest

    def _day(
        self, groups: Iterator[tuple[int | None, Records]], base: Base, span: tuple[int, int], day: str
    ) -> Notebook:
        start, count = span
        task = self._bar.add_task(f"4  {day}: stream, learn, publish, measure", total=count)
        notebook = Notebook(self._layout.root / "measured.json")
        samples = DaySamples(self._layout, self._opened.topic, start)
        retriever = Retriever(self._layout, ServingSettings.load(search="exact"))
        words = ["trainer", "online", "--root", str(self._layout.root), "--base", base.base_id]
        words += ["--topic", self._opened.topic.name, "--follow"]
        log = self._layout.root / "logs" / "trainer.log"
        self._trainer = Child("online trainer", words, log, self._say)
        try:
            for end, records in groups:
                if end is None:
                    self._opened.send(records)
                    break
                self._stream(records, end)
                window = samples.until(end)
                if not notebook.has(end):
                    notebook.add(score(retriever.view, window, samples, end, TOP_K))
                samples.remember(window)
                self._learn(base, end)
                retriever.refresh()
                self._bar.advance(task)
            self._finish(base)
        finally:
            self._trainer.stop()
            retriever.close()
        return notebook

    def _stream(self, records: Records, end: int) -> None:
        began = time.monotonic()
        self._opened.send(records)
        self._wait(lambda: watermark(self._layout, self._opened.topic) >= end)
        if self._speed:
            self._wait(lambda: time.monotonic() - began >= WINDOW_MS / 1000 / self._speed)

    def _learn(self, base: Base, end: int) -> None:
        """Wait for the deltas that end at `end` and publish them, unless an earlier run did."""
        head = served.head(self._layout)
        if head and head.body.trend_time >= end:
            return
        self._wait(lambda: all(delta and delta.watermark >= end for delta in self._deltas(base)))
        self._publish(base.base_id, until=end)

    def _finish(self, base: Base) -> None:
        """Wait until everything that was sent is in shards and the last deltas are there; publish the rest."""
        self._wait(lambda: self._read_records() == self._sent)
        end = watermark(self._layout, self._opened.topic) // WINDOW_MS * WINDOW_MS  # the log closes an hour later
        self._wait(lambda: all(delta and delta.watermark >= end for delta in self._deltas(base)))
        self._publish(base.base_id)

    def _read_records(self) -> int:
        topic = self._opened.topic
        chains = (shards.chain(self._layout, topic.name, partition) for partition in range(topic.partitions))
        return sum(entry.body.records for chain in chains for entry in chain.entries())

    def _deltas(self, base: Base) -> list[deltas.Delta | None]:
        heads = (deltas.chain(self._layout, base.base_id, partition).head() for partition in range(base.partitions))
        return [head.body if head else None for head in heads]

    def _publish(self, base_id: str, until: int | None = None) -> None:
        order = Order("demo", "a walk through a day", base_id, until)
        publish_once(self._layout, PublisherSettings.load(), order)

    def _wait(self, condition: Callable[[], bool]) -> None:
        while True:
            self._opened.check()
            if self._trainer:
                self._trainer.check()
            if condition():
                return
            time.sleep(POLL_S)

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, highlight=False, soft_wrap=True)
