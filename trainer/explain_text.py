"""An explanation on a terminal: who, the clicks, the answer."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.days import clock, shown
from trainer.explanation import (
    LEARNED,
    NOT_ADMITTED,
    PENDING,
    AnswerItem,
    Click,
    Explanation,
    Fit,
    LeftItem,
    RowFacts,
)

PARTS = ("= common row", "+ own row", "+ context", "+ bias", "+ trend")
NEWEST = 3  # of a ring: so many are named
LEAST_WIDTH = 118  # of a table: a narrow terminal wraps its lines, and nothing is cut off


def print_explanation(found: Explanation) -> None:
    """Print the whole of it on standard output."""
    console = Console(width=max(Console().width, LEAST_WIDTH))
    for name, text in _head(found):
        console.print(f"{name:<9} {text}", markup=False, highlight=False, soft_wrap=True)
    if found.clicks:
        console.print()
        console.print(_clicks(found))
        for note in _notes(found):
            console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(_answer(found))
    for left in found.answer.left:
        console.print(f"  left: {_left(left)}", markup=False, highlight=False, soft_wrap=True)
    if not all(item.known for item in found.answer.items):
        console.print(
            "  *: the base has no vector of it; the mean of the trending items' vectors stands in", highlight=False
        )
    note = "in brackets: what of it came since the night" if found.answer.left else "the same items as in the night"
    console.print(f"  {note}", highlight=False)


def _head(found: Explanation) -> Iterator[tuple[str, str]]:
    """Yield the lines above the tables, each with its name."""
    zone, delta = found.day_zone, f"delta {found.delta}" if found.delta else "no delta yet"
    yield "user", f"{found.user_id}, partition {found.partition} of {found.topic}"
    yield "base", f"{found.base_id}, cut at {shown(found.cut_watermark, zone)}: {_row(found.base_row, zone)}"
    yield "now", f"{delta}, {shown(found.watermark, zone)}: {_now(found)}"
    cosine = "" if found.cosine is None else f" (cosine {found.cosine:.2f} with the night's)"
    own = f"own row by {found.moved:.3f}{cosine}, " if found.row or found.base_row else ""
    yield "moved", f"since the night: {own}common row by {found.common_moved:.3f}"
    counts = [f"{number} {outcome}" for outcome, number in sorted(found.outcomes.items(), key=lambda each: -each[1])]
    yield "clicks", f"{sum(found.outcomes.values())} since the cut{': ' if counts else ''}{', '.join(counts)}"
    if not counts:
        yield "", "so the row is that of the base alone"
    for boundary in found.expired:
        yield "expired", f"{shown(boundary, zone)}: the row was let go, its last click was too long ago"
    if found.served_base not in {"", found.base_id}:
        yield "note", f"served now is base {found.served_base}, not this one: --base {found.served_base}"
    if not found.own_step:
        yield "note", "own rows do not move on this base: own_step is 0, as calibration or a setting chose"
    samples = f"samples {found.first_ordinal} to {found.next_ordinal} folded again"
    if found.differs:
        yield "ERROR", f"{samples}, and the deltas hold something else: {found.differs}"
    elif found.delta:
        held = f"deltas 1 to {found.delta}" if found.delta > 1 else "delta 1"
        yield "proof", f"{samples}: equal to {held}, bit for bit"
    else:
        yield "proof", f"{samples}; there is no delta to compare with"


def _row(row: RowFacts | None, zone: str) -> str:
    if row is None:
        return "no row of this user"
    last = shown(row.last_event_time, zone)
    newest = f", the newest {', '.join(row.ring[: -NEWEST - 1 : -1])}" if row.ring else ""
    ring = f"{len(row.ring)} items in the ring{newest}"
    return f"{row.clicks} clicks, the last {last}; own row of length {row.length:.3f}; {ring}"


def _now(found: Explanation) -> str:
    if found.row is None and found.waiting_clicks:
        return f"no row yet: {found.waiting_clicks} of the {found.admit_after} clicks that it takes"
    if found.row is None:
        return "no row: answered by the common row of all partitions"
    return _row(found.row, found.day_zone)


def _clicks(found: Explanation) -> Table:
    """Return the clicks, a line each."""
    total, told = sum(found.outcomes.values()), len(found.clicks)
    title = f"last {told} of {total} clicks" if total > told else "clicks"
    table = Table(title=f"{title}, times in {found.day_zone}", title_justify="left", box=None, pad_edge=False)
    for name in ("time", "offset", "sample", "item", "joined", "what became of it"):
        table.add_column(name, no_wrap=name == "time", justify="right" if name in {"offset", "sample"} else "left")
    for name in ("moved", "cosine", "score", "rank", "delta"):
        table.add_column(name, no_wrap=True, justify="right")
    for click in found.clicks:
        table.add_row(*_click(found, click))
    return table


def _click(found: Explanation, click: Click) -> Iterator[str]:
    there = (click.topic, click.partition) == (found.topic, found.partition)
    yield f"{clock(click.event_time, found.day_zone):%m-%d %H:%M:%S}" if _dated(click) else f"{click.event_time} ms"
    yield str(click.offset) if there else escape(f"{click.topic}/{click.partition}/{click.offset}")
    yield str(click.ordinal)
    yield escape(click.item_id)
    yield click.joined
    yield _outcome(click)
    yield f"{click.moved:.4f}" if click.outcome == LEARNED else ""
    yield "" if click.cosine is None else f"{click.cosine:+.2f}"
    yield from _fit(click.fit)
    yield str(click.delta) if click.delta else "-"


def _dated(click: Click) -> bool:
    return shown(click.event_time) != f"{click.event_time} ms"


def _fit(fit: Fit | None) -> tuple[str, str]:
    if fit is None:
        return "", ""
    if fit.score_before == fit.score_after:
        return f"{fit.score_after:.3f}", str(fit.rank_after)
    return f"{fit.score_before:.3f} > {fit.score_after:.3f}", f"{fit.rank_before} > {fit.rank_after}"


def _outcome(click: Click) -> str:
    """Say what became of a click, and whether others of the user stand in its block."""
    text = f"{click.outcome}: {click.reason}" if click.reason else click.outcome
    if click.admitted:
        text += ", got a row"
    return f"{text} (1 of {click.block_clicks})" if click.block_clicks > 1 else text


def _notes(found: Explanation) -> Iterator[str]:
    """Yield what the table needs explained, and nothing that is not in it."""
    if any(click.fit for click in found.clicks):
        yield "moved: by this click alone; score, rank: its item, before > after the step of the own row alone"
    if any(click.block_clicks > 1 for click in found.clicks):
        yield "(1 of N): one block holds N clicks of this user; their parts are added up and move the row at once"
    if any(click.capped for click in found.clicks):
        yield "the cap on the length of a row cut a step: its parts add up to more than the row moved"
    if NOT_ADMITTED in found.outcomes:
        yield f"not admitted: a row takes {found.admit_after} clicks; until then a click moves the common row alone"
    if PENDING in found.outcomes:
        yield "in no delta: the online update has not committed it yet (`freshet trainer online`), so nothing serves it"
    if any(click.outcome == "trend only" for click in found.clicks):
        yield "trend only: the base has no vector of the item; it counts in the trend and is hidden from this user"
    if (total := sum(found.outcomes.values())) > len(found.clicks):
        yield f"{total - len(found.clicks)} earlier clicks: --last {total}"


def _answer(found: Explanation) -> Table:
    """Return the answer as it is served, each score taken apart; a part that is 0 throughout has no column."""
    table = Table(title=f"top {found.answer.k} as served then, asked without context", title_justify="left")
    table.box, table.pad_edge = None, False
    items = found.answer.items
    columns = [column for column in zip(PARTS, *map(_parts, items), strict=True) if set(column[1:]) != {"0.000"}]
    for name in ("rank", "item", "score", *(str(column[0]) for column in columns), "night"):
        table.add_column(name, justify="left" if name == "item" else "right", no_wrap=name != "item")
    table.add_column("brought by")
    for n, item in enumerate(items):
        parts = [column[n + 1] for column in columns]
        night = str(item.rank_night) if item.rank_night else "-"
        name = escape(item.item_id) + "*" * (not item.known)
        table.add_row(str(n + 1), name, f"{item.score:.3f}", *parts, night, _by(item))
    return table


def _parts(item: AnswerItem) -> tuple[str, ...]:
    """Return the parts of a score, in the order of `PARTS`."""
    parts = item.parts
    rows = ((parts.common, parts.common_moved), (parts.own, parts.own_moved))
    moving = [f"{before + moved:z.3f} ({moved:+z.3f})" for before, moved in rows]
    return *moving, f"{parts.context:z.3f}", f"{parts.bias:z.3f}", f"{parts.trend:z.3f}"


def _by(item: AnswerItem) -> str:
    if item.by != "ring":
        return item.by
    return "no longer hidden" if item.rank_night is None else "room made by hidden ones"


def _left(left: LeftItem) -> str:
    if left.rank_now is None:
        return f"{left.item_id}, was {left.rank_night}: clicked since, or nothing scores it any more"
    by = "items that are no longer hidden" if left.by == "ring" else left.by
    return f"{left.item_id}, was {left.rank_night}, now {left.rank_now}: by {by}"
