"""The drift record: how far a delta is from its base, and its clicks from the base's last training day.

A file of the delta, one sealed line. It is counted over the delta's own samples, so it needs no memory of its own.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from contracts import sealed
from contracts.errors import Corrupt, UnknownSchema

SCHEMA = "freshet.drift/1"

Count = Annotated[int, Meta(ge=0)]
Length = Annotated[float, Meta(ge=0)]
Degrees = Annotated[float, Meta(ge=0, le=180)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Spread(msgspec.Struct, frozen=True):
    """Quantiles of what was measured row by row, and the largest."""

    p50: Length
    p90: Length
    p99: Length
    most: Length


class Shift(msgspec.Struct, frozen=True):
    """How unlike two mixes are: 0 the same, 1 nothing in common (Jensen-Shannon divergence in bits).

    `by_chance`: what as many clicks would show on a day like the base's, both being samples of one mix. Few clicks are
    unlike any mix, so what counts is by how much `divergence` is above it.
    """

    divergence: Share
    by_chance: Share

    @property
    def excess(self) -> float:
        """What chance does not explain; below 0 where there is less than that."""
        return self.divergence - self.by_chance


class Drift(msgspec.Struct, frozen=True):
    """The drift of one delta, that of samples [first_ordinal, next_ordinal) of `partition` on `base_id`.

    Rows: `touched_known`, `touched_new`: touched rows of users whom the base knows, and does not know; of the former
    how far the own row is from the base's (`distance`), and by how many degrees it turned on the base's common row
    (`angle`); None where there is none. `common_distance`, `common_angle`: the same of the partition's common row.
    Clicks: `popularity` of items against the base's last training day, None without clicks; each feature that the base
    knows against the same hours of that day: `discrete`, and `continuous` in deviations of the day, signed; neither
    where that day had no clicks at one of these hours.
    `lacking`: of "popularity" and "context" those that cannot be measured, for the base does not say what its day was.
    """

    base_id: str
    partition: Count
    first_ordinal: Count
    next_ordinal: Count
    watermark: int
    touched_known: Count
    touched_new: Count
    distance: Spread | None
    angle: Spread | None
    common_distance: Length
    common_angle: Degrees
    popularity: Shift | None
    discrete: dict[str, Shift]
    continuous: dict[str, float]
    lacking: tuple[str, ...] = ()
    schema: str = SCHEMA


class _Version(msgspec.Struct):
    schema: str = ""


def encode(drift: Drift) -> bytes:
    """Return the file of a record; the same record gives the same bytes.

    Raises `Corrupt` for a number that no record holds, one that is not finite for example: JSON would make it a null.
    """
    data = sealed.seal(msgspec.json.encode(drift))
    decode(data, "the new drift record")  # what nobody could read must not be committed
    return data


def decode(data: bytes, what: str = "a drift record") -> Drift:
    """Return the record of a file. Raises `Corrupt`, `UnknownSchema`."""
    document, _ = sealed.unseal(data, what)
    try:
        schema = msgspec.json.decode(document, type=_Version).schema
        if schema != SCHEMA:
            raise UnknownSchema(f"{what} has schema {schema!r}, this version reads {SCHEMA!r}")
        return msgspec.json.decode(document, type=Drift)
    except ValueError as error:  # MsgspecError, UnicodeDecodeError
        raise Corrupt(what, str(error)) from None
