"""One record of a foreign topic becomes events of ours: `attach` sends them on, `check-source` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contracts import events
from contracts.errors import EventRejected, UsageError
from contracts.events import MAX_VALUE_BYTES, Event
from streams.attach.formats import decoder
from streams.attach.mapping import Origin, Unmapped, event_reader, meant
from streams.attach.settings import AnySource
from streams.log import RawRecord
from streams.sources.columns import bad_row


class Outcome(NamedTuple):
    """What one table made of one record.

    `event` None: it gives none, and `why` says which key is at fault. Both: the pipeline will refuse the event, by the
    reason in `why`. Neither: the record is not meant (`where`). `decoded` None: its bytes could not be read.
    """

    event: Event | None
    why: Unmapped | None
    decoded: object


class Reader:
    """One `[[source]]` table. Raises `UsageError` or `MissingInput` where its schema file cannot be used."""

    def __init__(self, source: AnySource) -> None:
        self.source = source
        self._decode, self._meant, self._event = decoder(source), meant(source), event_reader(source)

    def read(self, value: bytes | None, origin: Origin) -> Outcome:
        """Return what becomes of a record. Total: raises nothing, whatever the bytes are."""
        if not value:
            return Outcome(None, Unmapped("", "", "a record without a value"), None)
        try:
            decoded = self._decode(value)
        except ValueError as error:
            return Outcome(None, Unmapped("format", self.source.format, str(error)), None)
        if not self._meant(decoded):
            return Outcome(None, None, decoded)
        try:
            event = self._event(decoded, origin)
            encoded = events.encode(event)
        except Unmapped as why:
            return Outcome(None, why, decoded)
        if len(encoded) > MAX_VALUE_BYTES:
            return Outcome(None, Unmapped("", "", f"an event of {len(encoded)} bytes"), decoded)
        try:
            return Outcome(events.decode(encoded), None, decoded)
        except EventRejected as rejection:
            return Outcome(event, Unmapped("", "", str(rejection)), decoded)


class Intake:
    """All tables: which topics they read, and the records that come of each of theirs."""

    def __init__(self, sources: Sequence[AnySource]) -> None:
        """Raises `UsageError`, `MissingInput`."""
        if not sources:
            raise UsageError(
                "there is no [[source]] table in streams.toml",
                hint="docs/formats.md has its keys; topics in our own format need none: set `topic`.",
            )
        self._readers: dict[str, list[Reader]] = {}
        for source in sources:
            self._readers.setdefault(source.topic, []).append(Reader(source))
        for topic, readers in self._readers.items():
            if len(readers) > 1 and not all(reader.source.where for reader in readers):
                raise UsageError(
                    f"topic {topic!r} has {len(readers)} [[source]] tables, and not all say which records they mean",
                    hint='Give each a `where`, like where = { type = "click" }.',
                )

    @property
    def topics(self) -> list[str]:
        """The topics to read."""
        return sorted(self._readers)

    def take(self, value: bytes | None, origin: Origin) -> list[Event | RawRecord]:
        """Return the events of a record; else a raw value, which the pipeline rejects; nothing if it is not meant."""
        outcomes = [reader.read(value, origin) for reader in self._readers[origin.topic]]
        if found := [outcome.event for outcome in outcomes if outcome.event is not None]:
            return list(found)
        wrong = next((outcome.why for outcome in outcomes if outcome.why is not None), None)
        return [] if wrong is None else [bad_row(str(origin), str(wrong), (value or b"").decode(errors="replace"))]
