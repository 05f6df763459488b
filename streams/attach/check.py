"""What comes of the records of one `[[source]]` table, and what its settings leave out: the facts of `check-source`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from contracts.events import Click, Request, encode
from streams.attach.advice import best_unit, line_for
from streams.attach.intake import Outcome, Reader
from streams.attach.look import Look, Seen
from streams.attach.mapping import Unmapped
from streams.attach.paths import excerpt, parsed
from streams.attach.settings import AnySource, ClickSource, ItemSource, RequestSource

EXAMPLES = 10
_ADDING = ("stages", "schema_ids")  # lines that take nothing from the records that map


class Example(msgspec.Struct, frozen=True):
    """A record and what came of it: `event` as JSON text, else empty and `why`."""

    record: str
    event: str = ""
    why: str = ""


class Problem(msgspec.Struct):
    """What a person has to change: `key` of the table, what is wrong in how many records, and the `line` to write."""

    key: str
    reason: str
    line: str
    records: int = 0
    example: str = ""


class Report(msgspec.Struct):
    """All facts of one table; the JSON form of `check-source` has these keys."""

    topic: str
    kind: str
    partitions: int
    events_partitions: int
    looked_at: int = 0
    mapped: int = 0
    not_meant: int = 0
    examples: list[Example] = []
    problems: list[Problem] = []
    costs: list[str] = []
    fine: bool = False


def check(source: AnySource, look: Look) -> Report:
    """Read records of a table's topic and judge them. Raises `MissingServer`, `MissingInput`, `UsageError`."""
    reader, partitions = Reader(source), look.partitions(source.topic)
    report = Report(source.topic, source.kind, partitions, look.partitions_of_events())
    seen = look.read(source.topic, partitions)
    judge(report, source, [(one, reader.read(one.value, one.origin)) for one in seen])
    return report


def judge(report: Report, source: AnySource, read: Sequence[tuple[Seen, Outcome]]) -> None:
    """Fill a report with what came of the records of a table."""
    meant = [(one, outcome) for one, outcome in read if outcome.event is not None or outcome.why is not None]
    report.looked_at, report.not_meant = len(read), len(read) - len(meant)
    report.mapped = sum(outcome.why is None for _, outcome in meant)
    report.examples = _examples(meant)
    report.problems = [*_unmapped(source, meant, report.mapped), *_nothing(source, read, meant), *_keys(source, meant)]
    if not any(problem.line.startswith("time_unit") for problem in report.problems):
        report.problems += _unit(source, meant)
    report.costs = [*_left_out(source), *_empty(source, meant), *_unsaid(source, meant)]
    report.fine = not report.problems


def _examples(meant: Sequence[tuple[Seen, Outcome]]) -> list[Example]:
    """Return ten records, among them those that do not map, though not more than half."""
    bad = [pair for pair in meant if pair[1].why is not None][: EXAMPLES // 2]
    good = [pair for pair in meant if pair[1].why is None][-(EXAMPLES - len(bad)) :]
    return [
        Example(str(seen.origin), encode(outcome.event).decode() if outcome.event else "", str(outcome.why or ""))
        for seen, outcome in [*good, *bad]
    ]


def _unmapped(source: AnySource, meant: Iterable[tuple[Seen, Outcome]], mapped: int) -> list[Problem]:
    """Tell what does not map, the most frequent first. A line that would lose more records than it wins is none."""
    found: dict[tuple[str, str, str], Problem] = {}
    for seen, outcome in meant:
        why = outcome.why
        if why is None:
            continue
        line = line_for(source, why, seen.value, outcome.decoded)
        problem = found.setdefault((why.key, why.path, line), Problem(why.key, str(why), line))
        problem.records += 1
        problem.example = problem.example or f"{seen.origin}: {_shown(why, seen, outcome)}"
    for problem in found.values():
        if problem.records < mapped and not problem.line.startswith(_ADDING):
            problem.line = ""
    return sorted(found.values(), key=lambda problem: -problem.records)


def _shown(why: Unmapped, seen: Seen, outcome: Outcome) -> str:
    at = parsed(why.path).find(outcome.decoded) if why.key != "format" and why.path else None
    whole = outcome.decoded if outcome.decoded is not None else (seen.value or b"")
    return excerpt(whole if at is None else at)


def _unit(source: AnySource, meant: Sequence[tuple[Seen, Outcome]]) -> list[Problem]:
    """Judge the times, also of records that do not map for another reason."""
    time = source.ingest if isinstance(source, ItemSource) else source.time
    records = [outcome.decoded for _, outcome in meant]
    unit = best_unit(source, time, records) if time else source.time_unit
    if unit == source.time_unit:
        return []
    shown = next((excerpt(value) for record in records if (value := parsed(time).find(record)) is not None), "")
    reason = f"{time}, read as {source.time_unit}, is no time between 1990 and 2099"
    return [Problem("time_unit", reason, f'time_unit = "{unit}"', len(records), shown)]


def _nothing(
    source: AnySource, read: Sequence[tuple[Seen, Outcome]], meant: Sequence[tuple[Seen, Outcome]]
) -> list[Problem]:
    if meant:
        return []
    if not read:
        return [Problem("topic", f"topic {source.topic} holds no records", "")]
    there = {path: parsed(path).find(outcome.decoded) for _, outcome in read for path in source.where}
    line = "where = { " + ", ".join(f'"{path}" = "{excerpt(value)}"' for path, value in there.items()) + " }"
    return [Problem("where", "no record that was looked at holds what `where` says", line, len(read))]


def _keys(source: AnySource, meant: Iterable[tuple[Seen, Outcome]]) -> list[Problem]:
    others = [(seen, user) for seen, user in _with_user(meant) if seen.key != user.encode()]
    if source.key != "user" or not others:
        return []
    seen, user = others[0]
    shown = f"{seen.origin}: key {excerpt((seen.key or b'').decode(errors='replace'))}, user {excerpt(user)}"
    return [Problem("key", "the Kafka key is not the user id", 'key = "other"', len(others), shown)]


def _with_user(meant: Iterable[tuple[Seen, Outcome]]) -> list[tuple[Seen, str]]:
    return [(seen, event.user_id) for seen, (event, *_) in meant if isinstance(event, Click | Request)]


def _left_out(source: AnySource) -> list[str]:
    """Say what the settings do not name, and what that costs."""
    costs = []
    match source:
        case ClickSource():
            if not source.request:
                costs.append("no request id: all clicks are direct, with their own context, and have no hard negatives")
            if not source.event_id:
                costs.append("no event_id: a record's place stands for it; a click that was written twice counts twice")
        case RequestSource():
            if not source.rejected:
                costs.append("no rejected: no hard negatives")
        case ItemSource():
            pass
    if not source.discrete and not source.continuous:
        costs.append("no discrete, no continuous: the model sees no context")
    if not source.ingest:
        costs.append("no ingest: Kafka's own time of a record stands for when it came in")
    return costs


def _empty(source: AnySource, meant: Sequence[tuple[Seen, Outcome]]) -> list[str]:
    """Say which optional paths are named and hold nothing."""
    named = {key: getattr(source, key, "") for key in ("request", "event_id", "rejected", "shown", "arm")}
    named |= {f"discrete.{name}": path for name, path in source.discrete.items()}
    named |= {f"continuous.{name}": path for name, path in source.continuous.items()}
    decoded = [outcome.decoded for _, outcome in meant if outcome.event is not None]
    said = []
    for key, path in named.items():
        if path and (holes := sum(parsed(path).find(record) in ("", None, []) for record in decoded)):
            said.append(f'{key} = "{path}" is empty in {holes:,} of {len(decoded):,}')
    return said


def _unsaid(source: AnySource, meant: Sequence[tuple[Seen, Outcome]]) -> list[str]:
    """Say what is no fault, and worth knowing."""
    users = _with_user(meant)
    said = []
    if source.key == "other" and users and all(seen.key == user.encode() for seen, user in users):
        said.append('the Kafka key is the user id: key = "user" would say so, and check it')
    elif source.key == "other":
        said.append("a user's records come from several partitions: their order is that of their ingest times")
    return said
