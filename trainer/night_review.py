"""What a night looks at before a new base may follow: how the day went on its parent, and whether it learned anything.

The review judges the parent on the first new day as `freshet evaluate` would: the parent has not seen it. The push gate
asks old and new for clicks of the last new day, which the new base was trained on and its parent was not: a base that
finds fewer of them than its parent has learned nothing, or something else. On later clicks both are compared by the
rebase.
"""

from __future__ import annotations

import numpy as np

from contracts.arrays import Integers
from contracts.bases import OpenBase
from contracts.recall import is_worse
from contracts.served import Gate
from trainer.calibration import FIRST_K, Yesterday
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Arm, Asked
from trainer.evaluation.day import LogDay, folding
from trainer.evaluation.judge import judge_one
from trainer.evaluation.metrics import figures
from trainer.evaluation.popularity import LastHourPopularity, YesterdaysPopularity
from trainer.evaluation.rows import FrozenRows, Ground, LearningRows
from trainer.evaluation.slices import active_clicks
from trainer.one_thread import one_thread
from trainer.settings import Night

PART = 512


def review(yesterday: Yesterday) -> dict[str, float]:
    """Return recall@20 over known items of each arm, of all clicks and of active users', by name `arm.slice`."""
    with one_thread():
        stage = yesterday.stage()
        ground, every = stage.ground, np.ones(len(stage.day.clicks), np.bool_)
        arms: dict[str, Arm] = {
            "frozen": FrozenRows(ground),
            "fresh": LearningRows(ground, ground.base.manifest.online),
            "yesterday": YesterdaysPopularity(stage.history),
            "last_hour": LastHourPopularity(stage.history),
        }
        found = {name: judge_one(arm, stage.day) for name, arm in arms.items()}
        slices = {"all": every, "active": active_clicks(stage.day)}
    return {
        f"{name}.{where}": figures(judged, inside).recall20
        for name, judged in found.items()
        for where, inside in slices.items()
    }


def push_gates(base: OpenBase, parent: OpenBase, day: LogDay, night: Night) -> tuple[Gate, ...]:
    """Return the verdicts on a new base; `day`: the last one that it was trained on."""
    return (_kept(base, parent, night), _fit(base, parent, day, night))


def _kept(base: OpenBase, parent: OpenBase, night: Night) -> Gate:
    """A base that has forgotten most of what its parent knew."""
    counts = [(len(each.items.ids), len(each.rows)) for each in (parent, base)]
    (items, users), (items_now, users_now) = counts
    passed = items_now >= night.kept_share * items and users_now >= night.kept_share * users
    said = f"{items_now} items and {users_now} users, its parent {items} and {users}"
    return Gate("kept", passed, f"{said}, at least {night.kept_share:.0%} are needed")


def _fit(base: OpenBase, parent: OpenBase, day: LogDay, night: Night) -> Gate:
    """A base that finds fewer clicks of its own last day than one that has not seen them."""
    count = len(day.samples)
    at = np.unique(np.linspace(0, max(count - 1, 0), min(count, night.fit_clicks)).astype(np.int64))
    if not len(at):
        return Gate("fit", True, "no clicks were looked at")
    with one_thread():
        before, now = (_found(each, day, at) for each in (parent, base))
    said = f"recall@{FIRST_K} {now / len(at):.4f} on {len(at)} clicks of the day it learned"
    return Gate("fit", not is_worse(now, before), f"{said}, its parent {before / len(at):.4f}")


def _found(base: OpenBase, day: LogDay, at: Integers) -> int:
    """Return of how many clicks the item is among the first 20 by the base's own rows, nothing masked."""
    arm = FrozenRows(Ground(base, day, folding(base, day, 1, day.end - day.start), day))
    item_at = {item: place for place, item in enumerate(base.items.ids)}
    targets = np.array([item_at.get(day.samples.items[place], NOT_A_CANDIDATE) for place in at.tolist()])
    known = np.flatnonzero(targets != NOT_A_CANDIDATE)
    found = 0
    for some in np.split(known, range(PART, len(known), PART)):
        scores = arm.scores(Asked(some, at[some], day.start))
        clicked = scores[np.arange(len(some)), targets[some]]
        found += int(np.count_nonzero((scores >= clicked[:, None]).sum(axis=1) <= FIRST_K))
    return found
