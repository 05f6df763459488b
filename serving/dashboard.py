"""The dashboard's numbers: read from the chains, part by part, at most once in `KEEP_SECONDS`, whoever looks.

A part that cannot be read is named and the rest is shown. Manifests never change, so a look reads what is new since the
last one: it costs some probes for each chain's head, a few small files, and one search for one item.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from contracts import nights, rebases, served
from contracts.bases import BaseStore, OpenBase
from contracts.chain import Entry
from contracts.errors import FreshetError, NothingServed
from contracts.nights import Night
from contracts.served import Refused, Served
from serving.history import History, Newest
from serving.hops import Hops, Standing, hops, lines, partition_pages
from serving.intervals import Interval, Intervals
from serving.overview import Away, Overview, RefusalPage, VersionPage, attention
from serving.service import Service
from serving.wire import StatusPage

VERSIONS, REFUSALS, NIGHTS = 48, 10, 5
STEPS_OF_A_NIGHT = 8
KEEP_SECONDS, GZIP_LEVEL = 2.0, 6
Found = TypeVar("Found")


@dataclass(frozen=True)
class Made:
    """The overview as JSON, and the same compressed."""

    plain: bytes
    gzipped: bytes


class Dashboard:
    """Makes the overview of one service. Any number of threads may ask; one makes it, the others get the last one."""

    def __init__(self, service: Service) -> None:
        self._service, self._layout = service, service.layout
        self._versions = History(served.chain(self._layout), VERSIONS + 1)
        self._refusals = History(served.refused(self._layout), REFUSALS)
        self._nights: tuple[str, History[Night]] | None = None
        self._intervals = Intervals(self._layout)
        self._hops = Hops(self._layout)
        self._making = threading.Lock()
        self._made, self._made_at = Made(b"", b""), -KEEP_SECONDS

    def overview(self) -> Made:
        """Return the overview, at most `KEEP_SECONDS` old, or older while the next one is being made."""
        if time.monotonic() - self._made_at < KEEP_SECONDS:
            return self._made
        if self._making.acquire(blocking=not self._made.plain):
            try:
                if time.monotonic() - self._made_at >= KEEP_SECONDS:
                    plain = msgspec.json.encode(self.look())
                    self._made = Made(plain, gzip.compress(plain, GZIP_LEVEL, mtime=0))
                    self._made_at = time.monotonic()
            finally:
                self._making.release()
        return self._made

    def look(self) -> Overview:
        """Return the overview, made now; one thread at a time."""
        began, away = time.perf_counter(), list[Away]()
        status: StatusPage | None = _part(away, "This process", self._service.status, None)
        found = _part(away, "Served versions", self._versions.newest, Newest[Served](0, [], []))
        refused = _part(away, "Refused versions", self._refusals.newest, Newest[Refused](0, [], []))
        for fault in (*found.faults, *refused.faults):
            away.append(Away("A manifest cannot be read", str(fault), fault.hint))
        shown = found.entries[0].body if found.entries else None
        base: OpenBase | None = _part(away, "The base", lambda: self._base(shown), None)
        standings = _part(away, "Samples and deltas", lambda: self._standings(base, shown), list[Standing]())
        page = Overview(
            made_at=int(time.time() * 1000),
            milliseconds=0.0,
            attention=[],
            away=away,
            head=found.head,
            answering=status,
            search=_part(away, "The search", self._service.search_now, ""),
            redis=self._service.redis_away(),
            may_roll_back=self._service.settings.has_operator,
            versions=self._version_pages(found.entries, away),
            refusals=[_refusal(entry) for entry in refused.entries],
            hops=hops(standings, shown) if standings else [],
            lines=lines(standings) if standings else [],
            partitions=partition_pages(standings),
            next_base=_part(away, "The next base", lambda: rebases.after(self._layout, base) if base else None, None),
            nights=_part(away, "Nights", lambda: self._last_nights(base.manifest.topic) if base else [], []),
        )
        took = round((time.perf_counter() - began) * 1000, 1)
        return msgspec.structs.replace(page, attention=attention(page), milliseconds=took)

    def _base(self, shown: Served | None) -> OpenBase:
        """Return the base that is served, else the one that would be. Raises `MissingInput`."""
        if shown is None:
            return rebases.newest(self._layout)
        base = BaseStore(self._layout).open(shown.base_id)
        if base.digest != shown.base_digest:
            raise FreshetError(f"base {shown.base_id} on disk is not the one that is served")
        return base

    def _standings(self, base: OpenBase | None, shown: Served | None) -> list[Standing]:
        return self._hops.standings(base, shown) if base else []

    def _version_pages(self, entries: list[Entry[Served]], away: list[Away]) -> list[VersionPage]:
        by_number = {entry.number: entry for entry in entries}
        pages = []
        for entry in entries[:VERSIONS]:
            before = by_number.get(entry.number - 1)
            name = f"Recall of version {entry.number}"
            interval = _part(away, name, lambda e=entry, b=before: self._interval(b, e), Interval())  # type: ignore[misc]
            pages.append(self._version_page(entry, interval, entries[0].body))
        self._intervals.forget_but(entries[:VERSIONS])
        return pages

    def _interval(self, before: Entry[Served] | None, entry: Entry[Served]) -> Interval:
        if before is None and entry.number > 1:
            return Interval()  # what it showed first cannot be told
        return self._intervals.of(before, entry)

    def _version_page(self, entry: Entry[Served], interval: Interval, now: Served) -> VersionPage:
        body = entry.body
        return VersionPage(
            number=entry.number,
            action=body.action,
            content_of=body.content_of,
            base_id=body.base_id,
            trend_time=body.trend_time,
            last_event_time=body.last_event_time,
            deltas=sum(len(served.included(body, position.partition)) for position in body.positions),
            held=sum(hold.last - hold.first + 1 for hold in body.holds),
            gates=body.gates,
            interval=interval,
            may_return=body.content_of != now.content_of and self._layout.base(body.base_id).is_dir(),
            who=body.who,
            why=body.why,
            created_at=body.created_at,
        )

    def _last_nights(self, topic: str) -> list[Night]:
        """Return where the last nights ended, or stand; each begins with `planned`."""
        if self._nights is None or self._nights[0] != topic:
            self._nights = topic, History(nights.chain(self._layout, topic), NIGHTS * STEPS_OF_A_NIGHT)
        found = self._nights[1].newest()
        if found.faults:
            raise found.faults[0]
        return list(_ends([entry.body for entry in found.entries]))[:NIGHTS]


def _ends(records: Sequence[Night]) -> Iterator[Night]:
    """Yield the last record of each night, the newest first."""
    after: Night | None = None
    for record in records:
        if after is None or after.step == "planned":
            yield record
        after = record


def _refusal(entry: Entry[Refused]) -> RefusalPage:
    body = entry.body
    against = tuple(gate for gate in body.gates if not gate.passed)
    return RefusalPage(body.number, body.base_id, against, body.who, body.why, body.created_at)


def _part(away: list[Away], name: str, find: Callable[[], Found], instead: Found) -> Found:
    """Return what `find` returns; what keeps it from that is put on the list. That nothing is served is no fault."""
    try:
        return find()
    except NothingServed:
        return instead
    except FreshetError as error:
        away.append(Away(name, str(error), error.hint))
    except OSError as error:
        away.append(Away(name, f"{error.filename or 'a file'} cannot be read: {error.strerror or error}"))
    return instead
