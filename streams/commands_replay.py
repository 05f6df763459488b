"""`freshet streams replay`: backfills days of a log, or a part of a topic, into a run folder of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from contracts.collector import collect_seldom
from contracts.days import bounds
from contracts.errors import MissingInput
from contracts.layout import Layout
from streams.inspection_text import print_counts
from streams.records import Topic
from streams.replay import Replay, Rules, log_topic
from streams.replay_frames import Begin
from streams.replay_options import LogJob, TopicJob, parsed
from streams.replay_processes import Children, beginning
from streams.replay_range import Offsets
from streams.replay_report import Bar, print_rate, print_result, print_spans
from streams.settings import StreamsSettings
from streams.sources.open import open_source
from streams.sources.source import counted, on_days
from streams.topics import Log

ROOT = Path("var/replay")


def replay(argv: Sequence[str]) -> int:
    """`freshet streams replay`."""
    job = parsed(argv)
    collect_seldom()
    if isinstance(job, TopicJob):
        _replay_topic(job)
    else:
        _replay_log(job)
    return 0


def _replay_log(job: LogJob) -> None:
    settings, whole = StreamsSettings.load(), open_source(job.source)
    for day in job.days:
        bounds(day, whole.day_zone)  # refuses what is no day before anything is read
    events: Counter[str] = Counter()
    source = on_days(whole, frozenset(job.days))
    layout = Layout(job.root or ROOT / "-".join([whole.name, *job.days]))
    tick_ms = settings.tick_seconds * 1000
    topic = log_topic(source, job.topic, job.partitions, tick_ms)
    rules = Rules(settings.windows, settings.replay_rotation)
    children = Children(beginning(layout, topic, rules), job.processes)
    try:
        with Bar(source.name, source.total) as bar:
            fold = Replay(layout, topic, rules, children)
            records = counted(source, events).records(topic.partitions, tick_ms)
            fold.fold(records, lambda: bar.show(events.total()))
            seconds = bar.end(events.total())
        facts = children.finish()
    finally:
        children.close()
    print_result(layout, topic, facts)
    print_counts("the log held", {f"{kind}s": number for kind, number in events.items()})
    print_rate(children.folded, fold.dropped, seconds)


def _replay_topic(job: TopicJob) -> None:
    settings = StreamsSettings.load(bootstrap=job.bootstrap, topic=job.topic)
    topic = Log(settings.access, settings.topic).identity()
    with Offsets(settings.access, topic) as offsets:
        spans = offsets.spans(job.wanted, settings.windows)
    if not spans:
        raise MissingInput(
            f"topic {topic.name!r} holds no record of this range",
            hint="Times are ingest times of its events; look at them with a shorter or an open range.",
        )
    print_spans(spans)
    layout = Layout(job.root or ROOT / _folder(topic, job))
    rules = Rules(settings.windows, settings.replay_rotation)
    begin = Begin(str(layout.root.absolute()), topic, rules, tuple(spans), spans, settings.bootstrap)
    children = Children(begin, job.processes)
    try:
        with Bar(topic.name, sum(max(span.end - children.expected[at], 0) for at, span in spans.items())) as bar:
            children.follow(lambda: bar.show(children.folded))
            seconds = bar.end(children.folded)
        facts = children.finish()
    finally:
        children.close()
    print_result(layout, topic, facts)
    print_rate(children.folded, 0, seconds)


def _folder(topic: Topic, job: TopicJob) -> str:
    """Return the folder of a range: one of its own for every range."""
    wanted = job.wanted
    if job.days:
        parts = ["-".join(job.days)]
    elif wanted.offsets:
        parts = [f"{p}.{first or ''}-{end or ''}" for p, (first, end) in sorted(wanted.offsets.items())]
    else:
        parts = [str(bound) for bound in (wanted.since, wanted.until) if bound is not None]
    return "-".join(["kafka", topic.name, *parts, *(["cold"] if wanted.cold else [])])
