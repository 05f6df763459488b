"""How `freshet produce --check` puts what a log holds on a terminal of 80 columns.

Rejected rows were written by strangers: what is not plain ASCII is shown escaped, and nothing is taken for markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from contracts.days import shown
from streams.log import NO_TIME
from streams.log_facts import LogFacts

_LABEL = 13
_EXAMPLE_CHARACTERS = 100
_MINUTE_MS = 60_000


def print_facts(facts: LogFacts, must: Sequence[str], notes: Sequence[str]) -> None:
    """Print all of it, and at the end whether the log can be used."""
    part = f", part {facts.part}" if facts.part else ""
    _line("log", f"{facts.log}{part}; days and times of {facts.day_zone}")
    if facts.first != NO_TIME:
        _line("from", f"{_time(facts.first, facts)} to {_time(facts.last, facts)}")
    _line("holds", ", ".join(f"{number:,} {kind}" for kind, number in facts.events.items()) or "nothing")
    _line("clicked", f"{facts.items:,} items by {facts.users:,} users")
    if requests := facts.events.get("requests", 0):
        rejected = f", {facts.ranking_rejected / requests:.1f} rejected by ranking"
        _line("a request", f"{facts.shown / requests:.1f} items shown{rejected}")
    joins = facts.joins
    asking = f"{joins.known:,} after their request, {joins.unknown:,} before it or without it in the log"
    _line("clicks", f"{joins.direct:,} that name no request, {asking}")
    _print_days(facts)
    _print_faults(facts)
    for note in notes:
        _line("note", note)
    for sentence in must:
        _line("MUST CHANGE", sentence)
    if not must:
        _line("usable", "yes")


def _print_days(facts: LogFacts) -> None:
    if not facts.days:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in ("day", "clicks", "requests", "users", "items", "known users", "known items"):
        table.add_column(column, justify="right", no_wrap=True)
    for day in facts.days:
        counts = (f"{number:,}" for number in (day.clicks, day.requests, day.users, day.items))
        shares = (_share(part, day.clicks) for part in (day.clicks_of_known_users, day.clicks_on_known_items))
        table.add_row(day.day, *counts, *shares)
    Console(highlight=False, markup=False).print(table)
    print("known: share of the day's clicks by users, on items, of a day before\n")


def _print_faults(facts: LogFacts) -> None:
    rejected = ", ".join(f"{number:,} {reason}" for reason, number in facts.rejected.items())
    _line("rejected", rejected or "nothing")
    for reason, examples in facts.examples.items():
        for example in examples:
            _line("", f"{reason}: {_plain(example)}")
    doubles = facts.duplicates
    _line("duplicates", f"{doubles.same_event_id:,} by event id (dropped), {doubles.alike:,} alike without one (kept)")
    disorder = facts.disorder
    _line("disorder", _disorder(disorder.events, disorder.furthest_ms, disorder.permitted_ms))
    if disorder.too_far:
        _line("", f"the first: {_plain(disorder.too_far)}")
    longest = ", the longest:" if facts.silences else ""
    _line("silences", f"{facts.silences:,} of more than half an hour{longest}")
    for silence in facts.longest_silences:
        minutes = (silence.until - silence.since) // _MINUTE_MS
        _line("", f"{minutes // 60} h {minutes % 60:02} min from {_time(silence.since, facts)}")


def _disorder(events: int, furthest_ms: int, permitted_ms: int) -> str:
    if not events:
        return "none"
    return f"{events:,} events, up to {furthest_ms / 1000:,.3f} s back ({permitted_ms / 1000:,.0f} s permitted)"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _time(milliseconds: int, facts: LogFacts) -> str:
    return shown(milliseconds, facts.day_zone)


def _plain(text: str) -> str:
    cut = text if len(text) <= _EXAMPLE_CHARACTERS else text[:_EXAMPLE_CHARACTERS] + "..."
    return cut.encode("unicode_escape").decode()


def _line(label: str, text: str) -> None:
    print(f"{label:<{_LABEL}}{text}")
