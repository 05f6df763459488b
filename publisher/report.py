"""Tables of what is and was served, for people."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts import served
from contracts.chain import Entry
from contracts.days import shown
from contracts.drift import Drift
from contracts.errors import NothingServed
from contracts.layout import Layout
from contracts.printable import printable
from contracts.served import Hold, Served
from publisher.difference import Difference
from publisher.measured import bars
from publisher.retention import Plan
from publisher.status import UNKNOWN, Status

MINUTES = len("2017-10-05 12:34")


def print_status(status: Status) -> None:
    """Print a status as a heading and a table of partitions."""
    console = Console(markup=False)
    again = f", content of version {status.content_of}" if status.content_of != status.version else ""
    console.print(f"Version {status.version} ({status.action}{again}), base {status.base_id}", style="bold")
    console.print(printable(f"by {status.who} at {shown(status.created_at)}{': ' + status.why if status.why else ''}"))
    console.print(f"Newest event served: {shown(status.last_event_time)}; watermark {shown(status.trend_time)} (UTC)")
    known = status.behind_ms != UNKNOWN
    behind = f"{_span(status.behind_ms)} of watermark behind the newest committed shard" if known else "no shard here"
    console.print(f"Freshness: {behind}")
    console.print(f"Drift, largest of all partitions: {drift_in_words(status.drift)}", soft_wrap=True)
    console.print(f"Item vectors: {', '.join(status.collections)}", soft_wrap=True)
    table = Table("partition", "delta", "samples", f"offset in {status.topic}", "watermark", "behind")
    for p in status.partitions:
        offset = "-" if p.next_offset == UNKNOWN else str(p.next_offset)
        table.add_row(
            str(p.partition), str(p.delta), str(p.next_ordinal), offset, shown(p.watermark), _span(p.behind_ms)
        )
    console.print(table)
    if status.refused:
        against = "; ".join(f"{gate.name}: {gate.detail}" for gate in status.refused.gates if not gate.passed)
        when = shown(status.refused.created_at)
        console.print(printable(f"Refused since then, at {when}: {against}"), style="bold", soft_wrap=True)
    if status.next_base:
        coming = status.next_base
        console.print(printable(f"Next base: {coming.base_id} is {coming.state}: {coming.why}"), soft_wrap=True)
    if status.refused_night:
        night = status.refused_night
        said = f"The night of {', '.join(night.days)} was refused: {night.why}"
        console.print(printable(said), style="bold", soft_wrap=True)
    if status.overruled:
        console.print(f"Overruled gates: {', '.join(gate.name for gate in status.overruled)}", style="bold")
    if status.held:
        console.print(f"Held deltas: {_holds(status.held)}")


def drift_in_words(drifts: Sequence[Drift]) -> str:
    """Return each kind of drift in a figure, of several partitions the largest; docs/drift.md says what they mean."""
    if not drifts:
        return "no record"
    words = [f"rows {max(angles):.0f}°"] if (angles := [each.angle.p50 for each in drifts if each.angle]) else []
    words.append(f"common row {max(each.common_distance for each in drifts):.2f}")
    excess, off = dict[str, float](), dict[str, float]()
    for each in drifts:
        popularity = {"popularity": each.popularity} if each.popularity else {}
        for name, shift in (popularity | each.discrete).items():
            excess[name] = max(excess.get(name, -1.0), shift.excess)
        for name, value in each.continuous.items():
            off[name] = max(off.get(name, 0.0), value, key=abs)
    words += [f"{name} {value:+.2f}" for name, value in excess.items()]
    words += [f"{name} {value:+.2f} deviations" for name, value in off.items()]
    lacking = sorted({kind for each in drifts for kind in each.lacking})
    return ", ".join(words) + (f"; not measured: {', '.join(lacking)}" if lacking else "")


def print_refused(layout: Layout, last: int, as_json: bool) -> None:
    """Print the newest `last` refusals, the newest last."""
    chain = served.refused(layout)
    newest = chain.head_number()
    entries = [chain.read(number) for number in range(max(newest - last, 0) + 1, newest + 1)]
    if as_json:
        print(json.dumps([msgspec.to_builtins(entry.body) for entry in entries], indent=2))
        return
    if not entries:
        print("No version was refused.")
        return
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("would be", "base", "when", "against it"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        body = entry.body
        against = "\n".join(printable(f"{gate.name}: {gate.detail}") for gate in body.gates if not gate.passed)
        table.add_row(str(body.number), escape(body.base_id), shown(body.created_at)[:MINUTES], escape(against))
    Console().print(table)


def print_difference(found: Difference) -> None:
    """Print what differs between two versions."""
    console = Console(markup=False)
    console.print(f"From version {found.before} to version {found.after}", style="bold")
    if found.bases[0] != found.bases[1]:
        console.print(f"Another base: {found.bases[0]}, then {found.bases[1]}. Rows of two bases cannot be compared.")
        console.print(f"Items: {found.items_new} new, {found.items_gone} gone.")
    else:
        counts = f"{found.rows_new} new, {found.rows_changed} changed, {found.rows_gone} gone"
        console.print(f"Base {found.bases[0]}. Own rows: {counts}.")
    if found.distances:
        names = ("least", "median", "90 %", "99 %", "most")
        moved = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, found.distances, strict=True))
        console.print(f"How far they moved: {moved} |{bars(found.histogram)}|")
    for title, rows in (("user", found.moved), ("common row of", found.common)):
        if rows:
            table = Table(title, "moved by", "turned by")
            for move in rows:
                table.add_row(escape(move.name), f"{move.distance:.4g}", f"{move.degrees:.2f}°")
            console.print(table)
    table = Table("item", "decayed clicks before", "after")
    for item in found.trend:
        table.add_row(escape(item.item_id), f"{item.before:.2f}", f"{item.after:.2f}")
    console.print(table)


def print_plan(plan: Plan, dry: bool) -> None:
    """Print what was, or would be, deleted."""
    table = Table("base", "stays because" if dry else "stayed because")
    for kept in plan.kept:
        table.add_row(escape(kept.base_id), escape(kept.why))
    console = Console(markup=False)
    console.print(table)
    names = ", ".join(base.manifest.base_id for base in plan.gone) or "nothing"
    freed = f", {plan.size / 1e6:.1f} MB on disk" if plan.gone else ""
    console.print(f"{'Would go' if dry else 'Deleted'}: {names}{freed}.")


def print_history(layout: Layout, last: int, as_json: bool) -> None:
    """Print the newest `last` versions, the newest last. Raises `NothingServed`."""
    chain = served.chain(layout)
    newest = chain.head_number()
    if not newest:
        raise NothingServed(
            f"nothing was served yet under {layout.root}", hint="Publish first: `freshet publish once`."
        )
    entries = [chain.read(number) for number in range(max(newest - last, 0) + 1, newest + 1)]
    if as_json:
        print(json.dumps([{"version": e.number, **msgspec.to_builtins(e.body)} for e in entries], indent=2))
        return
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("version", "action", "base", "deltas", "watermark", "held"):
        table.add_column(heading, no_wrap=heading != "base", overflow="fold")
    table.add_column("who, when, why", overflow="fold", min_width=20)
    for entry in entries:
        table.add_row(*(escape(printable(cell)) for cell in _cells(entry)))
    Console().print(table)


def _cells(entry: Entry[Served]) -> list[str]:
    body = entry.body
    again = f" of {body.content_of}" if body.content_of != entry.number else ""
    return [
        str(entry.number),
        body.action + again,
        body.base_id,
        _range([position.delta for position in body.positions]),
        shown(body.trend_time)[:MINUTES],
        str(sum(hold.last - hold.first + 1 for hold in body.holds) or ""),
        f"{body.who}, {shown(body.created_at)[:MINUTES]}{': ' + body.why if body.why else ''}",
    ]


def _holds(holds: tuple[Hold, ...]) -> str:
    return ", ".join(f"{hold.first}-{hold.last} of partition {hold.partition}" for hold in holds)


def _range(numbers: list[int]) -> str:
    """Return the smallest and the largest, or the one that all are."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    return str(low) if low == high else f"{low} to {high}"


def _span(milliseconds: int) -> str:
    """Return a length of time in the unit that suits it."""
    if milliseconds == UNKNOWN:
        return "-"
    seconds = milliseconds / 1000
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
