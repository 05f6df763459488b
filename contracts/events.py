"""Boundary 1: the event, one Kafka value: a JSON object tagged by `kind`. docs/formats.md is the human form.

Decoding is total: any bytes give an event or an `EventRejected` with one of `REASONS`. Integrity on the way is the
CRC-32C of Kafka's record batch, which every consumer of ours checks.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Annotated, Literal, final

import msgspec
from msgspec import Meta

from contracts.errors import EventRejected

SCHEMA = 1
MAX_VALUE_BYTES = 1 << 20
MAX_NESTING = 200
EARLIEST = 631_152_000_000  # 1990-01-01 UTC: no click is older, and an older clock was never set
LATEST = 4_070_908_800_000  # 2099-01-01 UTC: a later clock counts in other units
MAX_TIMES_APART = 48 * 3600 * 1000

REASONS = (
    "empty",
    "too_large",
    "not_json",
    "wrong_type",
    "unknown_kind",
    "unknown_schema",
    "bad_time",
    "times_apart",
    "bad_number",
    "wrong_partition",
)

Id = Annotated[str, Meta(min_length=1, max_length=256)]
FeatureText = Annotated[str, Meta(max_length=256)]
Milliseconds = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
Stage = Literal["pre_rank", "rank"]


# gc=False: no event can be part of a reference cycle, and millions of them would be walked by the collector in vain.
class Context(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Features of a request: discrete ones as text, continuous ones as numbers of float32 precision.

    Names are 1 to 64 letters, digits, `_`, `.` or `-`.
    """

    discrete: Annotated[dict[str, FeatureText], Meta(max_length=64)] = {}
    continuous: Annotated[dict[str, float], Meta(max_length=64)] = {}


class Shown(msgspec.Struct, frozen=True, gc=False):
    """An item that the user saw at `position` (from 0)."""

    item_id: Id
    position: Annotated[int, Meta(ge=0, le=100_000)]


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A candidate that ranking threw away at `stage` and the user never saw."""

    item_id: Id
    stage: Stage


@final
class Request(msgspec.Struct, frozen=True, tag_field="kind", tag="request", omit_defaults=True, gc=False):
    """An answered request: what was shown, what ranking rejected, and which served version answered (0: unknown)."""

    request_id: Id
    user_id: Id
    event_time: Milliseconds
    ingest_time: Milliseconds
    context: Context = Context()
    shown: Annotated[tuple[Shown, ...], Meta(max_length=1000)] = ()
    rejected: Annotated[tuple[Rejected, ...], Meta(max_length=1000)] = ()
    arm: FeatureText = ""
    served_version: Annotated[int, Meta(ge=0, le=1 << 62)] = 0
    schema: int = SCHEMA


@final
class Click(msgspec.Struct, frozen=True, tag_field="kind", tag="click", omit_defaults=True, gc=False):
    """A click. `request_id` empty: no request is known, and `context` is the click's own.

    `event_id` empty: the record's source position stands for it.
    """

    user_id: Id
    item_id: Id
    event_time: Milliseconds
    ingest_time: Milliseconds
    event_id: FeatureText = ""
    request_id: FeatureText = ""
    context: Context = Context()
    schema: int = SCHEMA


@final
class Tick(msgspec.Struct, frozen=True, tag_field="kind", tag="tick", omit_defaults=True, gc=False):
    """Ingest time alone, sent to every partition every few seconds, so that silence is in the log too."""

    ingest_time: Milliseconds
    schema: int = SCHEMA


@final
class Item(msgspec.Struct, frozen=True, tag_field="kind", tag="item", omit_defaults=True, gc=False):
    """An item of the compacted topic `items`: content features and when it may be shown (0: no bound)."""

    item_id: Id
    ingest_time: Milliseconds
    content: Context = Context()
    available_from: Milliseconds = 0
    available_until: Milliseconds = 0
    schema: int = SCHEMA


Event = Request | Click | Tick | Item

_decode = msgspec.json.Decoder(Event).decode
_encoder = msgspec.json.Encoder(order="deterministic")
_float32 = struct.Struct("<f")
_GOOD_NAMES: set[str] = set()  # those of the log so far: a set tells quicker than a pattern
_MOST_NAMES = 4096
_FEATURE_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ITEM_BYTES = len('{"item_id":"i","position":0}')  # the least that an item of a request takes
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def encode(event: Event) -> bytes:
    """Return the Kafka value of `event`; `decode` gives an equal event back, if the value is not too large."""
    return _encoder.encode(event)


def decode(value: bytes | None) -> Event:
    """Return the event in a Kafka value, numbers rounded to float32. Raises `EventRejected`, and nothing else."""
    (event,) = decode_each((value,))
    if isinstance(event, EventRejected):
        raise event
    return event


def decode_each(values: Iterable[bytes | None]) -> Iterator[Event | EventRejected]:
    """Yield what `decode` would return, or raise, for each value. Nothing is raised."""
    for value in values:
        found: Event | EventRejected
        try:
            if not value or len(value) > MAX_VALUE_BYTES:
                raise _no_size(value)
            found = _checked(_decode(value), value)
        except EventRejected as rejection:
            found = rejection.with_traceback(None)  # it would hold the frames of all who have called
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            found = _undecoded(value or b"", error)
        yield found


def float32(number: float) -> float:
    """Round to float32, as samples hold it. Raises `EventRejected` where it is not a finite float32."""
    try:
        rounded: float = _float32.unpack(_float32.pack(number))[0]
    except OverflowError:
        rounded = float("inf")
    if rounded - rounded != 0.0:
        raise EventRejected("bad_number", f"{number!r} is not a finite 32-bit number")
    return rounded


def _no_size(value: bytes | None) -> EventRejected:
    if value:
        return EventRejected("too_large", f"{len(value)} bytes, at most {MAX_VALUE_BYTES} are read")
    return EventRejected("empty", "a record without a value")


def _undecoded(value: bytes, error: Exception) -> EventRejected:
    return _too_deep() if _nests_too_deep(value, 0) else EventRejected(_reason(error), str(error))


def _checked(event: Event, value: bytes) -> Event:
    """Return the event as it is to be used. Raises `EventRejected` for what its types could not say."""
    items = len(event.shown) + len(event.rejected) if type(event) is Request else 0
    deep = len(value) - items * _ITEM_BYTES > 2 * MAX_NESTING  # a level of nesting takes two bytes
    if deep and _nests_too_deep(value, max(items - 1, 0)):
        raise _too_deep()
    if event.schema != SCHEMA:
        raise EventRejected("unknown_schema", f"schema {event.schema}, this version reads {SCHEMA}")
    time = event.ingest_time
    if not EARLIEST <= time < LATEST:
        raise EventRejected("bad_time", f"ingest_time {time} ms is not between 1990 and 2099")
    if type(event) is Tick:
        return event
    if type(event) is Item:
        features = event.content
    else:
        features = event.context
        if event.event_time != time:
            _check_event_time(event.event_time, time)
    if not _GOOD_NAMES.issuperset(features.discrete):
        for name in features.discrete:
            _check_name(name)
    return _rounded(event, features) if features.continuous else event


def _nests_too_deep(value: bytes, flat: int) -> bool:
    """Whether it nests deeper than `MAX_NESTING`; `flat` brackets are known to stand beside the deepest ones.

    The decoder's own limit moves with the stack of its caller: who calls must not decide what is an event.
    """
    if value.count(b"[") + value.count(b"{") - flat <= MAX_NESTING:
        return False
    brackets = _STRING.sub(b"", value).translate(None, _NO_BRACKETS)
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0) > MAX_NESTING


def _too_deep() -> EventRejected:
    return EventRejected("not_json", f"brackets nest deeper than {MAX_NESTING}")


def _reason(error: Exception) -> str:
    if not isinstance(error, msgspec.ValidationError):
        return "not_json"
    return "unknown_kind" if str(error).endswith(("`$.kind`", "required field `kind`")) else "wrong_type"


def _check_event_time(event_time: int, ingest_time: int) -> None:
    if not EARLIEST <= event_time < LATEST:
        raise EventRejected("bad_time", f"event_time {event_time} ms is not between 1990 and 2099")
    if abs(event_time - ingest_time) > MAX_TIMES_APART:
        raise EventRejected("times_apart", "event_time and ingest_time differ by more than 48 hours")


def _rounded(event: Request | Click | Item, features: Context) -> Event:
    for name in features.continuous:
        _check_name(name)
    rounded = Context(features.discrete, {name: float32(number) for name, number in features.continuous.items()})
    if isinstance(event, Item):
        return msgspec.structs.replace(event, content=rounded)
    return msgspec.structs.replace(event, context=rounded)


def _check_name(name: str) -> None:
    if not _FEATURE_NAME.fullmatch(name):
        raise EventRejected("wrong_type", f"{name[:80]!r} cannot name a feature")
    if len(_GOOD_NAMES) < _MOST_NAMES:
        _GOOD_NAMES.add(name)
