"""The users of one served version: base rows and the deltas over them, as one view that never changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from contracts import deltas, served, trend
from contracts.arrays import Floats
from contracts.bases import OpenBase
from contracts.chain import Entry
from contracts.deltas import Delta
from contracts.errors import WrongParent
from contracts.partitions import partition_of
from contracts.rows import Row, mean_common
from contracts.served import Position, Served
from serving.layers import Layers
from serving.overlay import Overlay

How = Literal["own row", "common row"]


@dataclass(frozen=True)
class User:
    """A user as the version knows them. `row` None: unknown, and `common` is the average of all partitions' rows.

    `delta`: number of the delta that made the row, 0 for the base. `ring`: what must not be shown again.
    """

    user_id: str
    partition: int
    row: Row | None
    common: Floats
    delta: int
    ring: tuple[str, ...]

    @property
    def how(self) -> How:
        """How the user was known."""
        return "own row" if self.row else "common row"

    @property
    def id_embedding(self) -> Floats:
        """What the user tower gets: float32 [width], the common row plus the user's own offset from it."""
        return self.common + self.row.own if self.row else self.common


@dataclass(frozen=True)
class PartitionView:
    """One partition: `last` is the newest delta read (held or shown); `trend`: clicks, `rows`: users since the cut."""

    last: Entry[Delta] | None
    common: Floats
    common_samples: int
    trend: Layers[float]
    rows: Overlay


class UserView:
    """Immutable; `advanced` makes the next one, which shares what did not change. Safe for any number of readers."""

    def __init__(self, base: OpenBase, shown: Served | None, partitions: tuple[PartitionView, ...]) -> None:
        self._base = base
        self._shown = shown
        self._partitions = partitions
        self._average = mean_common([p.common for p in partitions], [p.common_samples for p in partitions], base.common)

    @classmethod
    def of_base(cls, base: OpenBase) -> UserView:
        """Return the view that shows the base alone."""
        start = PartitionView(None, base.common, 0, Layers(), Overlay())
        return cls(base, None, (start,) * base.manifest.partitions)

    @property
    def base(self) -> OpenBase:
        """The base under it."""
        return self._base

    @property
    def deltas(self) -> int:
        """How many deltas it shows."""
        shown = self._shown
        return sum(len(served.included(shown, p.partition)) for p in shown.positions) if shown else 0

    def user(self, user_id: str) -> User:
        """Return what is known of a user: their own row on their partition's common row, or the common row of all."""
        partition = partition_of(user_id, len(self._partitions))
        row, delta = self._partitions[partition].rows.get(user_id) or (self._base.rows.get(user_id), 0)
        common = self._partitions[partition].common if row else self._average
        return User(user_id, partition, row, common, delta, row.ring if row else ())

    def trend_counts(self) -> dict[str, float]:
        """Return forward-decayed clicks per item: those of the base's cut and of every partition since."""
        return trend.merged([self._base.trend, *(partition.trend.merged() for partition in self._partitions)])

    def leads_to(self, shown: Served) -> bool:
        """Say whether the view of `shown` is this one and further deltas: not after a rollback or on another base."""
        return served.leads_to(self._shown, shown) if self._shown else shown.base_digest == self._base.digest

    def advanced(self, shown: Served) -> UserView:
        """Return the view of `shown`, which this one leads to; costs what its new deltas touch.

        Raises `WrongParent`, `ChainBroken` or `Corrupt` naming the delta that cannot be applied.
        """
        partitions = list(self._partitions)
        for position in shown.positions:
            partitions[position.partition] = self._advanced(shown, position, partitions[position.partition])
        return UserView(self._base, shown, tuple(partitions))

    def _advanced(self, shown: Served, position: Position, former: PartitionView) -> PartitionView:
        """Return the partition's next view."""
        base = self._base.manifest
        chain = deltas.chain(self._base.layout, base.base_id, position.partition)
        included = set(served.included(shown, position.partition))
        last, view, clicks = former.last, former, dict[str, float]()
        for number in range(last.number + 1 if last else 1, position.delta + 1):
            entry = chain.read(number)
            deltas.check_follows(entry, self._base.digest, last, base.cut[position.partition])
            last = entry
            if number not in included:
                continue
            changes = deltas.read_content(chain, entry)
            clicks.update(changes.trend)
            rows = view.rows.over(changes.rows, number, changes.tombstones)
            view = PartitionView(last, changes.common, changes.common_samples, view.trend, rows)
        if (last.digest if last else "") != position.digest:
            raise WrongParent(f"delta {position.delta} of partition {position.partition} is not the one published")
        return PartitionView(last, view.common, view.common_samples, view.trend.over(clicks), view.rows)


class Users(Protocol):
    """Knows users: `UserView` as served, `FrozenUserView` as the base."""

    def user(self, user_id: str) -> User:
        """Return what is known of a user."""


class FrozenUserView:
    """The control: rows of the base alone, with the rings of a served version, so that both exclude the same items."""

    def __init__(self, base_view: UserView, served_view: Users) -> None:
        self._base_view = base_view
        self._served_view = served_view

    def user(self, user_id: str) -> User:
        """Return the user as the base knows them."""
        known = self._base_view.user(user_id)
        ring = self._served_view.user(user_id).ring
        return User(known.user_id, known.partition, known.row, known.common, 0, ring)
