"""What the dashboard shows, as it goes over HTTP, and the sentences about what needs a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from contracts.nights import Night
from contracts.rebases import Rebase
from contracts.recall import is_worse
from contracts.served import Gate
from serving.hops import Hop, Line, PartitionPage
from serving.intervals import Interval
from serving.wire import StatusPage

LATELY, LATE = 4, 2  # versions that are judged together; intervals without the next version


class Away(msgspec.Struct, frozen=True):
    """A part that cannot be shown, why, and what to do about it."""

    part: str
    error: str
    hint: str = ""


class VersionPage(msgspec.Struct, frozen=True):
    """A served version. `deltas`: how many it shows; `held`: how many it keeps out. Times in ms; `created_at` is
    processing time. `may_return`: whether a rollback could serve it again.
    """

    number: int
    action: str
    content_of: int
    base_id: str
    trend_time: int
    last_event_time: int
    deltas: int
    held: int
    gates: tuple[Gate, ...]
    interval: Interval
    may_return: bool
    who: str
    why: str
    created_at: int


class RefusalPage(msgspec.Struct, frozen=True):
    """A version that would have been `number`, and the gates against it."""

    number: int
    base_id: str
    against: tuple[Gate, ...]
    who: str
    why: str
    created_at: int


class Overview(msgspec.Struct, frozen=True):
    """All that the dashboard shows at `made_at` (processing time, ms), made in `milliseconds`.

    `attention`: what needs a look, in sentences; `away`: parts that cannot be shown. `head`: number of the newest
    served manifest (0: none); `versions`, `refusals` and `nights` are newest first, and may lack what cannot be read.
    `answering`: what this process answers with (None: nothing yet); `search`: who finds items, or why not Milvus.
    """

    made_at: int
    milliseconds: float
    attention: list[str]
    away: list[Away]
    head: int
    answering: StatusPage | None
    search: str
    redis: str
    may_roll_back: bool
    versions: list[VersionPage]
    refusals: list[RefusalPage]
    hops: list[Hop]
    lines: list[Line]
    partitions: list[PartitionPage]
    next_base: Rebase | None
    nights: list[Night]


def attention(page: Overview) -> list[str]:
    """Return what a person should look at, the worst first; empty while all is well."""
    return [*_of_this_process(page), *_of_versions(page), *_of_hops(page), *_of_nights(page)]


def _of_this_process(page: Overview) -> Iterator[str]:
    if page.answering is None:
        yield "Nothing is served yet."
    elif page.answering.fault:
        yield f"This process still answers from version {page.answering.version}: {page.answering.fault}"
    for part in page.away:
        yield f"{part.part}: {part.error}"
    if page.search.startswith("exact, for"):
        yield f"Items are found by {page.search}."
    if page.redis:
        yield f"Redis does not answer ({page.redis}): user vectors are computed."


def _of_versions(page: Overview) -> Iterator[str]:
    if not page.versions:
        return
    newest = page.versions[0]
    refused = [refusal for refusal in page.refusals if refusal.number > newest.number]
    if refused:
        names = " and ".join(gate.name for gate in refused[0].against)
        yield f"A version after {newest.number} was refused, by {names or 'a gate'}."
    overruled = [gate.name for gate in newest.gates if not gate.passed]
    if overruled:
        yield f"Version {newest.number} is served against {' and '.join(overruled)}: {newest.why}"
    if newest.action == "rollback":
        yield f"Version {newest.content_of} is served again, by {newest.who}: {newest.why}"
    lately = [version.interval for version in page.versions[:LATELY]]
    fresh, frozen, clicks = (sum(getattr(i, name) for i in lately) for name in ("fresh_hits", "frozen_hits", "clicks"))
    if is_worse(fresh, frozen):
        yield (
            f"Fresh rows find less than the frozen base: {fresh / clicks:.3f} against {frozen / clicks:.3f} "
            f"of the last {clicks:,} clicks."
        )


def _of_hops(page: Overview) -> Iterator[str]:
    for line in page.lines:
        if line.expected is not None and line.expected != line.count:
            yield f"Counts do not add up: {line.name}: {line.count:,}, and not {line.expected:,} ({line.must_be})."
    published = [version for version in page.versions if version.action == "publish"]
    usual = _usual([version.trend_time for version in published])
    is_live = any(0 <= v.created_at - v.trend_time < LATE * usual for v in published[:LATELY])  # not replayed
    ended = page.hops[0].watermark if page.hops else None
    if is_live and ended is not None and page.made_at - ended > LATE * usual:
        yield (
            f"The log stands still: samples end {(page.made_at - ended) / 60_000:,.0f} min ago by the clock, "
            f"and versions came every {usual / 60_000:,.0f} min."
        )
    gone_back = bool(page.versions) and page.versions[0].action == "rollback"
    for hop, blamed in zip(page.hops[1:], ("the trainer", "the publisher"), strict=False):
        if gone_back and hop.name == "served":
            continue  # that is what was asked for
        if usual and hop.behind_ms and hop.behind_ms > LATE * usual:
            yield (
                f"{blamed.capitalize()} is late: {hop.name} are {hop.behind_ms / 60_000:,.0f} min of log time behind, "
                f"and versions came every {usual / 60_000:,.0f} min."
            )


def _of_nights(page: Overview) -> Iterator[str]:
    if page.next_base and page.next_base.state == "refused":
        yield f"The next base {page.next_base.base_id} was refused: {page.next_base.why}"
    if page.nights and page.nights[0].step == "refused":
        yield f"The night of {', '.join(page.nights[0].days)} was refused: {page.nights[0].why}"


def _usual(times: Sequence[int]) -> float:
    """Return the usual step between versions (ms of watermark), the newest first; 0: nobody knows yet."""
    steps = [later - earlier for later, earlier in pairwise(times) if later > earlier]
    return median(steps) if len(steps) >= LATE else 0.0
