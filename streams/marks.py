"""Where a rebuild may start: what the log's clock showed before which record, every ten minutes of watermark."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from contracts.shards import Rebuild
from streams.clock import NOT_STARTED, Reading

MARK_MS = 600_000


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """The clock's reading before the record at `offset`."""

    reading: Reading
    offset: int


class Marks:
    """The marks of one partition, as far back as `horizon_ms` reaches; its clock now shows `watermark`.

    `next_at`: no record with an earlier ingest time (ms) can need a mark.
    """

    def __init__(self, horizon_ms: int, watermark: int, marks: Iterable[Mark] = ()) -> None:
        self._horizon_ms = horizon_ms
        self._marks = deque(marks)
        self.next_at = _next_boundary(watermark) if self._marks else 0

    def note(self, before: Reading, watermark: int, offset: int) -> None:
        """Take notice that the record at `offset` moved the clock from `before` to `watermark`.

        The first record of each ten minutes gets a mark. Marks beyond the horizon go, but for the last of them.
        """
        if self._marks and watermark // MARK_MS == before.watermark // MARK_MS:
            return
        self.next_at = _next_boundary(watermark)
        if not self._marks or self._marks[-1].offset != offset:
            self._marks.append(Mark(before, offset))
        oldest = watermark - self._horizon_ms
        while len(self._marks) > 1 and self._marks[1].reading.watermark <= oldest:
            self._marks.popleft()

    def all(self) -> tuple[Mark, ...]:
        """Return the marks, the earliest first."""
        return tuple(self._marks)

    def rebuild(self, otherwise: int) -> Rebuild:
        """Return where a rebuild starts now; at the offset `otherwise` where the log has shown no time yet."""
        first = self._marks[0] if self._marks else Mark(NOT_STARTED, otherwise)
        leaping = first.reading.leaping
        detector = {"leaping": leaping, "leapt_to": first.reading.leapt_to} if leaping else {}
        return Rebuild(first.offset, first.reading.watermark, detector)


def mark_of(rebuild: Rebuild) -> Mark:
    """Return the mark that a manifest recorded."""
    detector = rebuild.detector
    return Mark(Reading(rebuild.watermark, detector.get("leaping", 0), detector.get("leapt_to", 0)), rebuild.offset)


def _next_boundary(watermark: int) -> int:
    return (watermark // MARK_MS + 1) * MARK_MS
