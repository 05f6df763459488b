"""Which days of a log make the base, and which one is judged; or which spans, for a log that is told by position."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts import days, shards
from contracts.arrays import Integers
from contracts.errors import MissingInput, UsageError
from trainer.training_days import Topic, find_day

MOST_NIGHTS = 7
TESTED_SHARE = 0.3


@dataclass(frozen=True)
class Split:
    """Days or spans of one log, in order, without gaps that hold samples: `base`, and `test` after them."""

    base: tuple[str, ...]
    test: str


def split(topic: Topic, zone: str, asked: tuple[str, str], block_ms: int) -> Split:
    """Return what was `asked` for as (base, test), each maybe empty; see `freshet evaluate --help`.

    `test` may be a share, like `30%`: the last part of the log by position. A log of less than two complete days is cut
    like that where nothing was asked. Raises `UsageError`, `MissingInput`.
    """
    base, test = asked
    share = re.fullmatch(r"(\d+(?:\.\d+)?)%", test)
    if share:
        if base:
            raise UsageError(
                f"--test {test} cuts the log by position, --base {base} by days",
                hint="Leave --base out: all before the judged part is the base.",
            )
        return by_position(topic, float(share[1]) / 100, block_ms)
    there = _complete_days(topic, zone)
    if len(there) < 2 and not base and not test:
        return by_position(topic, TESTED_SHARE, block_ms)
    return _by_days(there, zone, base, test)


def by_position(topic: Topic, share: float, block_ms: int) -> Split:
    """Return the last `share` of a log's samples as the test, and what is before it as two nights or more.

    A night is about as long as the test, in samples, so that there is one to calibrate on. Cuts are moved back to the
    beginning of a block: none may hold clicks of both sides. Raises `UsageError`, `MissingInput`.
    """
    if not 0 < share < 1:
        raise UsageError(f"a test of {share:.0%} of the log leaves nothing", hint="Give a share like --test 30%.")
    watermarks = _watermarks(topic)
    if not len(watermarks):
        raise MissingInput(f"topic {topic.name!r} holds no samples", hint="Give a log with clicks.")
    nights = min(max(round((1 - share) / share), 2), MOST_NIGHTS)
    shares = np.array([*(np.arange(1, nights) * (1 - share) / nights), 1 - share])
    inner = watermarks[(shares * len(watermarks)).astype(np.int64)]
    reached = min(head.body.watermark for chain in topic.chains if (head := chain.head()))
    edges = [each // block_ms * block_ms for each in (int(watermarks[0]), *inner.tolist())]
    edges.append(min(math.ceil((int(watermarks[-1]) + 1) / block_ms) * block_ms, reached))
    if any(before >= after for before, after in itertools.pairwise(edges)):
        raise UsageError(
            f"{len(watermarks):,} samples of topic {topic.name!r} are too close in time to be cut in {nights + 1}",
            hint=f"A block is {block_ms / 1000:g} s long: give a smaller --interval, and check --time-unit of the log.",
        )
    spans = [days.span(before, after) for before, after in itertools.pairwise(edges)]
    return Split(tuple(spans[:-1]), spans[-1])


def _by_days(there: Sequence[str], zone: str, base: str, test: str) -> Split:
    if len(there) < 2:
        raise MissingInput(
            f"the log holds {len(there)} complete days ({zone}); a base and a test need two",
            hint="Give a longer log, or another --day-zone, or cut it by position with --test 30%.",
        )
    test = test or there[-1]
    before = [day for day in there if day < test][-MOST_NIGHTS:]
    if not before:
        raise UsageError(f"no complete day lies before {test}", hint=f"Complete days: {', '.join(there)}.")
    first, _, last = (base or f"{before[0]}..{before[-1]}").partition("..")
    nights = tuple(day for day in there if first <= day <= (last or first))
    if test not in there or not nights or nights[-1] >= test or there.index(test) != there.index(nights[-1]) + 1:
        raise UsageError(
            f"base {first}..{last or first} and test {test} do not fit the log",
            hint=f"Name complete days of it, --base FIRST..LAST --test THE-DAY-AFTER, among {', '.join(there)}; or cut "
            "it by position with --test 30%.",
        )
    return Split(nights, test)


def _complete_days(topic: Topic, zone: str) -> list[str]:
    heads = [chain.head() for chain in topic.chains]
    reached = min(head.body.watermark if head else 0 for head in heads)
    firsts = [next(shards.entries_from(chain, 0), None) for chain in topic.chains]
    starts = [entry.body.first_event_time for entry in firsts if entry]
    found, day = list[str](), days.day_of(min(starts), zone) if starts else ""
    while day and days.bounds(day, zone)[1] <= reached:
        at = find_day(topic, day, zone)
        if at.first != at.next:
            found.append(day)
        day = days.day_of(days.bounds(day, zone)[1], zone)
    return found


def _watermarks(topic: Topic) -> Integers:
    """Return the emission watermarks of all samples, int64 [n], ascending."""
    read = (shards.read_columns(chain, entry).watermark for chain in topic.chains for entry in chain.entries())
    return np.sort(np.fromiter(itertools.chain.from_iterable(read), dtype=np.int64))
