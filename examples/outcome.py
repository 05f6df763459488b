"""Step 5 of the walk: what was committed, measured and served becomes the page of results."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from contracts import served, shards
from contracts.bases import Base, BaseStore
from contracts.errors import FreshetError
from contracts.layout import Layout
from examples.calendar import Calendar
from examples.ledger import ledger
from examples.measure import Notebook
from examples.report import Results, print_results, write_page
from serving.answer import Query
from serving.retriever import Retriever
from serving.settings import ServingSettings
from streams.records import Topic
from trainer.digest import online_digest

AGREEMENT_USERS, TOP_K = 50, 20


@dataclass(frozen=True)
class Walked:
    """What the walk leaves behind; `sent` is the number of records of the log."""

    topic: Topic
    base: Base
    calendar: Calendar
    notebook: Notebook
    sent: int


def show(console: Console, layout: Layout, walked: Walked, facts: Sequence[tuple[str, str]]) -> None:
    """Write and print the page. Raises `FreshetError` when the counts do not add up."""
    users = _busiest(layout, walked)
    book = ledger(layout, walked.topic, walked.base, walked.sent)
    head = served.head(layout)
    results = Results(
        title=f"{walked.calendar.name}, {walked.calendar.last}: frozen against fresh",
        zone=walked.calendar.zone,
        windows=walked.notebook.windows,
        book=book,
        facts=[
            *facts,
            ("base", f"{walked.base.base_id}, trained on {', '.join(walked.base.days)}"),
            ("served version", str(head.number if head else 0)),
            ("samples digest", book.digest),
            ("rows digest", _rows_digest(layout, walked.base)),
            ("vector store", _agreement(layout, users)),
        ],
        query=f".venv/bin/freshet retrieve --root {shlex.quote(str(layout.root))} --user {shlex.quote(users[0])} -k 20",
    )
    image, page = write_page(layout.root / "results", results)
    print_results(console, results)
    console.print(f"{'the page':<16} {page}\n{'the plot':<16} {image}", highlight=False, soft_wrap=True)
    if not book.adds_up:
        raise FreshetError("the counts do not add up", hint="A line above is marked with ✗: that hop lost or doubled.")


def _rows_digest(layout: Layout, base: Base) -> str:
    """Return one digest over the online states of all partitions."""
    opened = BaseStore(layout).open(base.base_id)
    return shards.combined({p: online_digest(layout, opened, p) for p in range(base.partitions)})


def _busiest(layout: Layout, walked: Walked) -> list[str]:
    """Return the users with the most clicks on the last day, the busiest first."""
    clicks: Counter[str] = Counter()
    for partition in range(walked.topic.partitions):
        chain = shards.chain(layout, walked.topic.name, partition)
        clicks.update(sample.user_id for sample in shards.read_from(chain, walked.base.cut[partition]))
    return [user for user, _ in clicks.most_common(AGREEMENT_USERS)]


def _agreement(layout: Layout, users: Sequence[str]) -> str:
    """Ask the vector store and an exact search the same, and say how far their answers agree."""
    settings = ServingSettings.load()
    queries = [Query(user) for user in users]
    asked = []
    for search in (settings, ServingSettings.load(search="exact")):
        retriever = Retriever(layout, search)
        asked.append([{item.item_id for item in answer.items} for answer in retriever.retrieve_many(queries, TOP_K)])
        retriever.close()
    shared = sum(len(found & exact) for found, exact in zip(*asked, strict=True))
    every = sum(len(exact) for exact in asked[1])
    return f"{settings.store_uri(layout)}: {shared / every:.1%} of exact search's top {TOP_K} for {len(users)} users"
