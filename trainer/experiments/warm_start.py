"""Warm start from the last full base, or from what was learned online on top of it: the mistake of training twice.

The product cannot do the latter: a delta is no base. Here a base is written, in the run folder of experiments, whose
rows have made the moves that the online update made on the day after it; then the retrain of that very day starts from
it, so that every one of its samples is trained twice. Night after night.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import msgspec
import numpy as np

from contracts import bases
from contracts.arrays import Floats
from contracts.bases import BaseStore, OpenBase
from contracts.rows import Row
from trainer.evaluation.arms import FRESH, FROZEN_SHRUNK
from trainer.evaluation.protocol import EVALUATED
from trainer.evaluation.rows import LearningRows
from trainer.evaluation.stage import Stage, set_up
from trainer.experiments.bench import Bench
from trainer.experiments.runs import Found, Run, plain
from trainer.one_thread import one_thread
from trainer.retrain import RetrainPlan, retrain

ARMS = (FROZEN_SHRUNK, FRESH)


def runs(bench: Bench) -> Sequence[Run]:
    """Return the right start and the mistake, with the same online settings and with those that it chooses itself.

    Raises `UsageError` for one night.
    """
    bench.require_nights(2)
    return [
        Run("full base", "each night starts from the full base of the night before", partial(_full, bench)),
        Run(
            "online branch",
            "each night starts from the rows learned online; the online settings are those of the full base",
            partial(_branch, bench, False),
        ),
        Run(
            "online branch, calibrated",
            "the same, and the settings are chosen by folding a day that the rows have seen",
            partial(_branch, bench, True),
        ),
    ]


def _full(bench: Bench, seed: int) -> Mapping[str, Found]:
    nights = bench.nights(seed)
    return plain(bench.judged(bench.stage(nights[-1]), bench.choices(nights, ARMS), ARMS, seed))


def _branch(bench: Bench, calibrate: bool, seed: int) -> Mapping[str, Found]:
    right, names = bench.nights(seed), bench.plan.base_days
    base = right[0]
    for before, name in itertools.pairwise(names):
        last = name == names[-1]
        base = _retrained(bench, learned_online(bench, base, (before, name)), name, (seed, calibrate and last))
    chosen = right[-1].manifest
    told = base if calibrate else base.told(online=chosen.online, own_scale=chosen.own_scale)
    return plain(bench.judged(bench.stage(told), bench.choices([told], ARMS), ARMS, seed))


def _retrained(bench: Bench, parent: OpenBase, day: str, told: tuple[int, bool]) -> OpenBase:
    seed, calibrate = told
    settings = bench.told(retrain={"seed": seed, "calibrate": calibrate}).plan.settings
    plan = RetrainPlan(bench.plan.topic, (day,), parent.manifest.base_id, settings, EVALUATED)
    return retrain(bench.plan.layout, plan, bench.progress)


def learned_online(bench: Bench, base: OpenBase, names: tuple[str, str]) -> OpenBase:
    """Return a base like this one whose rows have made the moves of the online update on the day after it.

    `names`: the base's last day, and that day. It is written into the run folder of experiments, or found there.
    """
    store, base_id = BaseStore(bench.plan.layout), f"{base.manifest.base_id}-online"
    if base_id in store.ids():
        return store.open(base_id)
    before, day = (bench.day(name) for name in names)
    with one_thread():
        common, moves = moved(set_up(base, [before], day, (1, bench.plan.interval_ms)))
    rows = dict(base.learned_rows)
    for user, move in moves.items():
        row = rows.get(user, Row(np.zeros_like(move), 0, 0, ()))
        rows[user] = replace(row, own=row.own + move)
    files = {file.name: base.file(file.name) for file in base.manifest.files}
    files[bases.USERS] = bases.pack_users(common, rows, base.manifest.towers.width)
    return store.write(msgspec.structs.replace(base.manifest, base_id=base_id), files)


def moved(stage: Stage) -> tuple[Floats, dict[str, Floats]]:
    """Return the common row after the day, and by how much the own rows of all who clicked have moved."""
    base, samples = stage.ground.base, stage.ground.day.samples
    arm = LearningRows(stage.ground, base.manifest.online)
    for _, first, end in stage.day.windows():
        arm.learn(stage.day.clicks.part(first, end))
    (learner,) = arm.learners
    moves = dict[str, Floats]()
    for user in dict.fromkeys(samples.users):
        shown, before = learner.rows.shown(user), learner.rows.of_base(user)
        if shown is not None:
            moves[user] = shown.own - before if before is not None else shown.own
    return learner.rows.common, moves
