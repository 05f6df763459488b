"""What a day looks like against the days before it; a broken one is refused before anything is trained on it.

A base that was trained on half a log, or on a log whose contexts fell off, is not noticed by any later check: it is a
sound model of a broken day. (Breck et al. 2019, "Data validation for machine learning", is the pattern.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from contracts.bases import OpenBase
from contracts.errors import Corrupt, DayRefused
from trainer.context_columns import FeatureCounts
from trainer.settings import DayLimits

STATISTICS = "statistics.json"
KEPT_DAYS = 14


class DayStatistics(msgspec.Struct, frozen=True):
    """One day's samples: how many; the share by users and on items that the days before did not have; of each discrete
    feature the share of samples that carry it; of each number the mean and the deviation. `accepted`: why a day that
    was refused was trained on all the same."""

    day: str
    samples: int
    new_users: float
    new_items: float
    discrete: dict[str, float]
    numbers: dict[str, tuple[float, float]]
    accepted: str = ""


def of_base(base: OpenBase | None) -> list[DayStatistics]:
    """Return the statistics of the days of a base's lineage; none where it has no such file. Raises `Corrupt`."""
    if base is None or not base.has(STATISTICS):
        return []
    try:
        return msgspec.json.decode(base.file(STATISTICS), type=list[DayStatistics])
    except msgspec.MsgspecError as error:
        raise Corrupt(STATISTICS, str(error)) from None


def packed(before: Sequence[DayStatistics], days: Sequence[DayStatistics]) -> bytes:
    """Return the file that `of_base` reads: the last `KEPT_DAYS` days."""
    return msgspec.json.encode([*before, *days][-KEPT_DAYS:])


@dataclass
class DayDescription:
    """What of a day is counted while its samples come; of samples, not of users or items."""

    name: str
    samples: int = 0
    by_new_users: int = 0
    on_new_items: int = 0
    features: FeatureCounts = field(default_factory=FeatureCounts)

    def done(self) -> DayStatistics:
        """Return the statistics of the whole day."""
        count, features = max(self.samples, 1), self.features
        carried = {name: features.carried(name) / count for name in sorted(features.values)}
        discrete = {name: share for name, share in carried.items() if share}
        numbers = {name: (each.mean, each.deviation) for name, each in sorted(features.numbers.items()) if each.count}
        new_users, new_items = self.by_new_users / count, self.on_new_items / count
        return DayStatistics(self.name, self.samples, new_users, new_items, discrete, numbers)


def require_sound(day: DayStatistics, before: Sequence[DayStatistics], limits: DayLimits) -> None:
    """Refuse a day that is unlike the days before it. Raises `DayRefused` with every reason in figures.

    Without days before there is nothing to compare with: it is taken.
    """
    reasons = unlike(day, before, limits)
    if reasons:
        raise DayRefused(
            f"day {day.day} is unlike the {len(before)} days before it: {'; '.join(reasons)}",
            hint="Look at the log. If the day is right, train on it with --accept-day REASON, which goes on record.",
        )


def unlike(day: DayStatistics, before: Sequence[DayStatistics], limits: DayLimits) -> list[str]:
    """Return in what a day is unlike the days before it, each reason in figures; none where there is nothing before."""
    return list(_reasons(day, before, limits)) if before and limits.check else []


def _reasons(day: DayStatistics, before: Sequence[DayStatistics], limits: DayLimits) -> Iterator[str]:
    usual = float(np.mean([each.samples for each in before]))
    if not usual / limits.volume_factor <= day.samples <= usual * limits.volume_factor:
        yield f"{day.samples:,} samples, where {usual:,.0f} are usual"
    later = before[1:]  # of the first day of a log everybody is new, and later ones should have ever fewer
    for name, found, shares in (
        ("by new users", day.new_users, [each.new_users for each in later]),
        ("on new items", day.new_items, [each.new_items for each in later]),
    ):
        if shares and found - np.mean(shares) > limits.share_slack:
            yield f"{found:.0%} of clicks {name}, where {np.mean(shares):.0%} are usual"
    for name in sorted({name for each in before for name in each.discrete}):
        carried, found = float(np.mean([each.discrete.get(name, 0.0) for each in before])), day.discrete.get(name, 0.0)
        if abs(found - carried) > limits.share_slack:
            yield f"{found:.0%} of clicks carry the feature {name!r}, where {carried:.0%} do"
    for name in sorted({name for each in before for name in each.numbers}):
        yield from _number_reasons(name, day, [each.numbers[name] for each in before if name in each.numbers], limits)


def _number_reasons(
    name: str, day: DayStatistics, before: Sequence[tuple[float, float]], limits: DayLimits
) -> Iterator[str]:
    if name not in day.numbers:
        yield f"no click carries the number {name!r}"
        return
    mean, spread = (float(np.mean([each[at] for each in before])) for at in (0, 1))
    if abs(day.numbers[name][0] - mean) > limits.deviations * max(spread, abs(mean) * 1e-3, 1e-9):
        yield f"the mean of {name!r} is {day.numbers[name][0]:g}, where {mean:g} is usual"
