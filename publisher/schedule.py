"""`publish run`: what is published when, and what is rolled back by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from contracts import served
from contracts.chain import Entry
from contracts.errors import Corrupt, FreshetError, MissingInput, MissingServer, PublishRefused, UsageError
from contracts.layout import Layout
from contracts.rollback import rollback
from contracts.served import Served
from publisher.fresh_items import CatalogueFile
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from publisher.sink_choice import follow_all
from publisher.watch import fallen, ready_base

AUTOMATIC = "publish run"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Publishing:
    """What is published, how, and with which file of item events."""

    layout: Layout
    settings: PublisherSettings
    order: Order
    catalogue: CatalogueFile = field(default_factory=lambda: CatalogueFile(None))


class Schedule:
    """Publishes every interval, and at once when a base is ready; `tick` is called every few seconds.

    A refusal, a missing base, an absent vector store and a bad file of items are outlived: those are said, and tried
    again when the interval is over. `say` is told each thing once.
    """

    def __init__(self, publishing: Publishing, interval: float, say: Callable[[str], None]) -> None:
        self._layout, self._settings = publishing.layout, publishing.settings
        self._order, self._catalogue = publishing.order, publishing.catalogue
        self._interval, self._say = interval, say
        self._due = -1.0
        self._waits: set[str] = set()  # what was said or tried, and is not again until the interval is over

    def tick(self, now: float) -> None:
        """Do what is due at `now` (seconds of any clock that only goes forwards)."""
        if now >= self._due:
            self._due = now + self._interval
            self._waits.clear()
            self._publish(self._order)
            self._watch()
            follow_all(self._layout, self._settings, self._say)
        elif self._order.base_id is None and self._settings.cut_over == "automatic":
            self._cut_over()

    def _cut_over(self) -> None:
        ready = self._decided(ready_base, "Whether a base is ready")
        if ready and ready not in self._waits:
            self._waits.add(ready)
            self._say(f"Base {ready} has caught up and is no worse: cutting over.")
            self._publish(replace(self._order, base_id=ready))
            follow_all(self._layout, self._settings, self._say)

    def _publish(self, order: Order) -> None:
        try:
            order = replace(order, catalogue=self._catalogue.now())
            entry = publish_once(self._layout, self._settings, order)
        except (PublishRefused, MissingInput, MissingServer, UsageError, Corrupt) as error:
            self._say(f"{error}\n{error.hint}\nTrying again in {self._interval:g} s.")
            return
        self._say(sentence(entry))

    def _watch(self) -> None:
        """Roll back where the served rows have done worse than the frozen base for long enough."""
        fall = self._decided(fallen, "Whether to roll back")
        if not fall:
            return
        try:
            entry = rollback(self._layout, fall.to, AUTOMATIC, f"automatic: {fall.why}")
        except FreshetError as error:
            self._say(f"The rollback to version {fall.to} failed: {error}")
            return
        self._say(f"Rolled back to the content of version {fall.to}, as version {entry.number}: {fall.why}.")

    def _decided(
        self, decide: Callable[[Layout, PublisherSettings, Entry[Served]], Found | None], what: str
    ) -> Found | None:
        """Decide on what is served; a file that cannot be read is said, once until the interval is over."""
        try:
            head = served.head(self._layout)
            return decide(self._layout, self._settings, head) if head else None
        except FreshetError as error:
            if what not in self._waits:
                self._waits.add(what)
                self._say(f"{what} could not be decided: {error}")
            return None


def sentence(entry: Entry[Served] | None) -> str:
    """Say what was published."""
    if entry is None:
        return "Nothing new to publish."
    positions = entry.body.positions
    shown = sum(len(served.included(entry.body, position.partition)) for position in positions)
    forced = [gate.name for gate in entry.body.gates if not gate.passed]
    against = f", against {' and '.join(forced)}" if forced else ""
    return (
        f"Version {entry.number} is served: base {entry.body.base_id}, {shown} deltas over {len(positions)} "
        f"partitions{against}."
    )
