"""What a historical log holds, found by reading it once as it would be sent: for `freshet produce --check`.

In memory are the names of all users and items that clicked or were clicked, and the ids of two days of clicks and
requests. Days, silences and disorder are told by ingest time. What a log out of order holds of a day is counted all the
same, but a user or an item may count twice there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from contracts.errors import EventRejected
from contracts.events import Click, Event, Request, decode, encode
from streams.log import NO_TIME, RawRecord
from streams.sources.source import DayTeller, Source

SILENCE_MS = 1_800_000  # a publish interval: what is shorter, nobody notices
LONGEST_SILENCES, EXAMPLES = 5, 3
_DAY_MS = 86_400_000  # how long an event id or a request is remembered
_SHOWN_CHARACTERS = 160


class DayFacts(msgspec.Struct):
    """A day of the log; the last two count clicks of users, and on items, that were clicked on a day before."""

    day: str
    clicks: int = 0
    requests: int = 0
    users: int = 0
    items: int = 0
    clicks_of_known_users: int = 0
    clicks_on_known_items: int = 0


class Silence(msgspec.Struct, frozen=True):
    """A stretch of the log (ms) without an event."""

    since: int
    until: int


class Disordered(msgspec.Struct):
    """How many events come after a later one, by how much at most (ms), and the first that does so by too much."""

    permitted_ms: int
    events: int = 0
    furthest_ms: int = 0
    too_far: str = ""


class Doubles(msgspec.Struct):
    """Clicks whose user's event id came within a day before, and clicks without an id that are alike to the ms."""

    same_event_id: int = 0
    alike: int = 0


class Joins(msgspec.Struct):
    """Clicks that name no request, those whose request came within a day before them, those whose request did not."""

    direct: int = 0
    known: int = 0
    unknown: int = 0


class LogFacts(msgspec.Struct):
    """All that was found. Times are ms, `NO_TIME` where there is none; `rejected` and `examples` are by reason."""

    log: str
    day_zone: str
    part: str
    disorder: Disordered
    first: int = NO_TIME
    last: int = NO_TIME
    events: dict[str, int] = {}
    users: int = 0
    items: int = 0
    shown: int = 0
    ranking_rejected: int = 0
    joins: Joins = msgspec.field(default_factory=Joins)
    duplicates: Doubles = msgspec.field(default_factory=Doubles)
    rejected: dict[str, int] = {}
    examples: dict[str, list[str]] = msgspec.field(default_factory=dict)
    days: list[DayFacts] = msgspec.field(default_factory=list)
    silences: int = 0
    longest_silences: list[Silence] = msgspec.field(default_factory=list)


def read_facts(source: Source, progress: Callable[[int], None]) -> LogFacts:
    """Read a log once; `progress` is told how many rows were read. Raises `MissingInput` where a file is torn."""
    reading = _Reading(source)
    for number, event in enumerate(source.events(), start=1):
        reading.take(event)
        progress(number)
    return reading.facts()


class _Reading:
    """Takes what a log holds, one by one."""

    def __init__(self, source: Source) -> None:
        self._facts = LogFacts(source.name, source.day_zone, source.part, Disordered(source.disorder_ms))
        self._days = DayTeller(source.day_zone)
        self._by_day: dict[str, DayFacts] = {}
        self._events: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._silences: list[Silence] = []
        self._users, self._items = _Known(), _Known()
        self._clicked, self._asked = _Recent(), _Recent()

    def take(self, event: Event | RawRecord) -> None:
        try:
            found = decode(event.value if isinstance(event, RawRecord) else encode(event))
        except EventRejected as rejection:
            self._reject(rejection, event)
            return
        self._events[f"{type(found).__name__.lower()}s"] += 1
        self._follow(found)
        name = self._days.of(found.ingest_time)
        if isinstance(found, Click | Request):
            day = self._by_day.get(name) or self._by_day.setdefault(name, DayFacts(name))
            if isinstance(found, Click):
                self._take_click(found, day)
            else:
                day.requests += 1
                self._facts.shown += len(found.shown)
                self._facts.ranking_rejected += len(found.rejected)
                self._asked.again((found.user_id, found.request_id), found.ingest_time)

    def facts(self) -> LogFacts:
        facts = self._facts
        facts.events, facts.rejected = dict(sorted(self._events.items())), dict(sorted(self._rejected.items()))
        facts.users, facts.items = len(self._users.first), len(self._items.first)
        facts.days = [self._by_day[day] for day in sorted(self._by_day)]
        facts.silences = len(self._silences)
        longest = sorted(self._silences, key=lambda one: one.since - one.until)[:LONGEST_SILENCES]
        facts.longest_silences = sorted(longest, key=lambda one: one.since)
        return facts

    def _reject(self, rejection: EventRejected, event: Event | RawRecord) -> None:
        self._rejected[rejection.reason] += 1
        examples = self._facts.examples.setdefault(rejection.reason, [])
        if len(examples) < EXAMPLES:
            raw = isinstance(event, RawRecord) and event.value.startswith(b"bad row: ")
            text = event.value.decode(errors="replace") if raw and isinstance(event, RawRecord) else rejection.detail
            examples.append(text[:_SHOWN_CHARACTERS])

    def _follow(self, event: Event) -> None:
        facts, time = self._facts, event.ingest_time
        if facts.first == NO_TIME:
            facts.first = facts.last = time
        if time >= facts.last:
            if time - facts.last > SILENCE_MS:
                self._silences.append(Silence(facts.last, time))
            facts.last = time
            return
        disorder, back = facts.disorder, facts.last - time
        disorder.events += 1
        disorder.furthest_ms = max(disorder.furthest_ms, back)
        if back > disorder.permitted_ms and not disorder.too_far:
            disorder.too_far = encode(event).decode()[:_SHOWN_CHARACTERS]

    def _take_click(self, click: Click, day: DayFacts) -> None:
        day.clicks += 1
        known, new = self._users.see(click.user_id, day.day)
        day.clicks_of_known_users += known
        day.users += new
        known, new = self._items.see(click.item_id, day.day)
        day.clicks_on_known_items += known
        day.items += new
        doubles, joins, time = self._facts.duplicates, self._facts.joins, click.ingest_time
        if click.event_id:
            doubles.same_event_id += self._clicked.again((click.user_id, click.event_id), time)
        else:
            doubles.alike += self._clicked.again((click.user_id, click.item_id, click.event_time), time)
        if not click.request_id:
            joins.direct += 1
        elif self._asked.has((click.user_id, click.request_id), time):
            joins.known += 1
        else:
            joins.unknown += 1


@dataclass
class _Known:
    """Of each name the first day that it was seen on, and the last one."""

    first: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    def see(self, name: str, day: str) -> tuple[bool, bool]:
        """Return whether the name was seen on a day before, and whether it is the first time on this day."""
        known, new = self.first.setdefault(name, day) < day, self.last.get(name) != day
        self.last[name] = day
        return known, new


class _Recent:
    """Names, and when they came last: those of the last day at least, those of two at most."""

    def __init__(self) -> None:
        self._now: dict[tuple[str | int, ...], int] = {}
        self._before: dict[tuple[str | int, ...], int] = {}
        self._until = 0

    def again(self, name: tuple[str | int, ...], time: int) -> bool:
        """Return whether a name has come within the day before `time`; from now on it has."""
        if time >= self._until:
            self._now, self._before, self._until = {}, self._now, time + _DAY_MS
        came = self.has(name, time)
        self._now[name] = time
        return came

    def has(self, name: tuple[str | int, ...], time: int) -> bool:
        """Return whether a name has come within the day before `time`."""
        last = self._now.get(name, self._before.get(name))
        return last is not None and time - last < _DAY_MS


def must_change(facts: LogFacts, sort_hint: str) -> list[str]:
    """Return what a person has to change before the log can be used; nothing: it can be."""
    found = []
    rejected, events = sum(facts.rejected.values()), sum(facts.events.values())
    if not facts.events.get("clicks"):
        found.append("It holds no click. Check --data, --format and --columns.")
    if rejected > events:
        found.append("More than half of it is rejected. Check --columns, --time-unit and the examples above.")
    if facts.disorder.too_far:
        found.append(f"It is out of order. {_order(facts.disorder, sort_hint)}")
    return found


def notes(facts: LogFacts) -> list[str]:
    """Return what a person may want to know before the log is used."""
    found = []
    clicked = [day for day in facts.days if day.clicks]
    if len(clicked) == 1:
        found.append("It has clicks of one day: `freshet demo` and a night need two.")
    if facts.duplicates.alike:
        found.append("Clicks that are alike and have no event id count each: name one with --columns event_id=COLUMN.")
    if not facts.events.get("requests"):
        found.append("It has no requests: contexts are those of the clicks, and there are no hard negatives.")
    elif not facts.ranking_rejected:
        found.append("Its requests name nothing that ranking rejected: there are no hard negatives.")
    if facts.joins.unknown:
        found.append(
            "Clicks whose request does not come within two minutes become samples without its context (orphans)."
        )
    return found


def _order(disorder: Disordered, sort_hint: str) -> str:
    if disorder.furthest_ms < _DAY_MS:
        return f"Say --disorder-seconds {-(-disorder.furthest_ms // 1000)}. Or: {sort_hint}"
    return sort_hint
