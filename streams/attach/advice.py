"""What to write instead: the line of a `[[source]]` table that would read records which this one does not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from contracts.events import EARLIEST, LATEST
from streams.attach.formats import schema_id
from streams.attach.mapping import Unmapped
from streams.attach.paths import parsed, paths_in
from streams.attach.settings import AnySource
from streams.sources.columns import ABSENT, MILLISECONDS

# What others call it, where a key's own name and the path that was tried resemble nothing.
_OTHER_NAMES = {
    "user": ("user_id", "visitor_id", "customer_id", "uid"),
    "item": ("item_id", "article_id", "product_id", "sku"),
    "time": ("timestamp", "event_time", "created_at", "ts"),
    "request": ("request_id", "search_id", "impression_id"),
}
_NEAR = 0.55
_LISTED = 8


def line_for(source: AnySource, why: Unmapped, value: bytes | None, decoded: object) -> str:
    """Return the line to write into the table; empty where only whoever writes the topic can help."""
    if why.key == "format":
        return _format_line(source, value or b"")
    of_time = why.key in ("time", "ingest") or why.reason.startswith(("bad_time", "times_apart"))
    if of_time and (line := _time_line(source, why, decoded)):
        return line
    if why.key == "stage" and " is no stage" in why.reason:
        return f'stages = {{ {why.reason.split(" is no stage")[0].strip(chr(39))} = "rank" }}  # or "pre_rank"'
    return _path_line(why, decoded) if why.path else ""


def best_unit(source: AnySource, path: str, records: Sequence[object]) -> str:
    """Return the unit in which most times at `path` lie between 1990 and 2099; the table's own where none is better."""
    found = [value for record in records if (value := parsed(path).find(record)) not in ABSENT]
    plausible = {unit: sum(_plausible(value, unit) for value in found) for unit in MILLISECONDS}
    best = max(plausible, key=lambda unit: plausible[unit])
    return best if plausible[best] > plausible[source.time_unit] else source.time_unit


def _plausible(value: object, unit: str) -> bool:
    try:
        return EARLIEST <= MILLISECONDS[unit](value) < LATEST
    except (ValueError, OverflowError):
        return False


def _time_line(source: AnySource, why: Unmapped, decoded: object) -> str:
    time = getattr(source, "time", "")
    for path in (why.path, time, source.ingest):
        if path and (unit := best_unit(source, path, [decoded])) != source.time_unit:
            return f'time_unit = "{unit}"'
    return f'ingest = "{time}"' if why.reason.startswith("times_apart") and time and not source.ingest else ""


def _format_line(source: AnySource, value: bytes) -> str:
    found = schema_id(value)
    if source.framing == "none" and found is not None:
        return 'framing = "confluent"'
    if source.framing == "confluent" and found is None:
        return 'framing = "none"' if source.format != "json" or value[:1] in b"{[" else ""
    if source.schema_ids and found not in source.schema_ids:
        return f"schema_ids = {sorted({*source.schema_ids, found or 0})}"
    return 'format = "json"' if source.format != "json" and value[:1] == b"{" else ""


def _path_line(why: Unmapped, decoded: object) -> str:
    known = list(dict.fromkeys(paths_in(decoded)))
    feature = why.key.partition(".")
    written = f'{feature[0]} = {{ {feature[2]} = "{{}}" }}' if feature[1] else f'{why.key} = "{{}}"'
    wanted = [why.path, why.path.rpartition(".")[2], feature[0], *_OTHER_NAMES.get(why.key, ())]
    near = max(known, key=lambda path: _nearness(path, wanted), default=why.path)
    if near != why.path and _nearness(near, wanted) >= _NEAR:
        return written.replace("{}", near)
    some = ", ".join(path for path in known[:_LISTED])
    return f"{written.replace('{}', '…')}  # the record has: {some}" if some else ""


def _nearness(path: str, wanted: Sequence[str]) -> float:
    forms = {path.lower(), path.lower().rpartition(".")[2]}
    return max(difflib.SequenceMatcher(None, form, one.lower()).ratio() for form in forms for one in wanted)
