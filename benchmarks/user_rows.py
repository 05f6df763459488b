"""What the number of users costs the online update: memory of its rows, and a commit of the same touched rows.

    python -m benchmarks.user_rows --users 5_000_000 --folder scratch --write
    python -m benchmarks.user_rows --users 5_000_000 --folder scratch

the first writes a base of so many users; the second opens it, lets some of them click, and commits, several times.
Memory is the resident set of that process beside the one that it had before the base was opened.
"""

from __future__ import annotations

import sys
import time

import msgspec
import numpy as np

from benchmarks.by_users import ByUsers
from benchmarks.figures import Comparison, Figure, compared, this_machine
from benchmarks.memory import resident_mib
from benchmarks.online_input import WIDTH, manifest, unit_vectors
from benchmarks.online_step import commit_fresh
from benchmarks.rounds import Say
from contracts import bases, commit, deltas
from contracts.arrays import Floats, pack
from contracts.bases import BaseStore, Items, OpenBase, Towers, pack_items
from contracts.features import FeatureSpec
from contracts.layout import Layout
from contracts.rows import Evidence, Rings, RowTable, pack_table
from trainer.block_fold import BlockFold
from trainer.block_learner import BlockLearner, Start
from trainer.one_thread import one_thread
from trainer.towers import TwoTowers

FEW, MANY, QUICK = 1_000_000, 5_000_000, 20_000
TOUCHED, COMMITS, ITEMS, RING = 50_000, 5, 4096, 8
CUT_MS, INTERVAL_MS = 1_507_000_200_000, 1_800_000
MIB = 1 << 20
MEMORY = Comparison(
    "memory of an online worker's rows, 5 M users", "MiB", "rows x width x 4 bytes", 1 / 3, 1 / 1.5, less_is_better=True
)
MEMORY_FEW = Comparison(
    "memory of an online worker's rows, 1 M users", "MiB", "rows x width x 4 bytes", 1 / 3, 1 / 1.5, less_is_better=True
)
COMMIT = Comparison(
    "commit of 50,000 touched rows, 5 M users", "ms", "the same, 1 M users", 1 / 1.2, 1.0, less_is_better=True
)


class Reading(msgspec.Struct, frozen=True):
    """Of a base of so many `users`: MiB `resident` for its rows, the `peak` until then, and `commits` in ms."""

    users: int
    resident: float
    peak: float
    commits: list[float]


def measure(quick: bool, say: Say) -> list[Figure]:
    """Measure few and many users in processes of their own."""
    few, many = (READINGS.in_a_process(users, say) for users in ((QUICK, 5 * QUICK) if quick else (FEW, MANY)))
    machine = this_machine()
    note = f"Base opened and learner ready, ids, evidence and rings of {RING} items included; width {WIDTH}."
    figures = [
        compared(what, [each.resident], [each.users * WIDTH * 4 / MIB], machine, f"{note} Peak {each.peak:,.0f} MiB.")
        for what, each in ((MEMORY_FEW, few), (MEMORY, many))
    ]
    how = f"Data file, state batch and manifest, with fsync; {COMMITS} commits each."
    return [*figures, compared(COMMIT, many.commits, few.commits, machine, how)]


def reading(layout: Layout, users: int) -> Reading:
    """Open the base of so many users and commit; in a process that has done nothing else."""
    before = resident_mib()
    with one_thread():
        base = BaseStore(layout).open("rows")
        learner = BlockLearner(base, "rows", BlockFold(base, base.manifest.online), Start(None, CUT_MS, base.trend))
        now, peak = resident_mib(), resident_mib("VmHWM")
        return Reading(users, now - before, peak - before, _commits(layout, base, learner))


def write_base(layout: Layout, users: int) -> None:
    """Write a base of so many users."""
    dice = np.random.default_rng(1)
    vectors, towers = unit_vectors(dice, ITEMS), Towers(WIDTH, 128, "cosine", 0.1, FeatureSpec(), FeatureSpec())
    items = [f"i{number:06d}" for number in range(ITEMS)]
    own = dice.standard_normal((users, WIDTH), dtype=np.float32)
    evidence = Evidence(np.full(users, RING, np.int64), CUT_MS - dice.integers(1, 10**9, users))
    rings = Rings(np.arange(1, users + 1) * RING, dice.integers(ITEMS, size=users * RING), items)
    table = RowTable([f"u{number:09d}" for number in range(users)], own, evidence, rings)
    files = {
        bases.DENSE: TwoTowers(towers).packed(),
        bases.USERS: pack({"common": vectors[0], **pack_table(table)}),
        bases.ITEMS: pack_items(Items(items, vectors, vectors, np.zeros(ITEMS, np.float32))),
        bases.TREND: pack({"items": list[str](), "counts": np.zeros(0)}),
    }
    BaseStore(layout).write(manifest("rows", towers, CUT_MS), files)


def _commits(layout: Layout, base: OpenBase, learner: BlockLearner) -> list[float]:
    """Return the milliseconds of each commit; before each the same number of other users have clicked once."""
    chain = deltas.chain(layout, "rows", 0)
    committer, _ = commit.recover("deltas", chain, layout.trainer_state("rows", 0))
    users, found, rows = base.rows.users, list[float](), learner.rows
    touched = min(TOUCHED, len(users) // (COMMITS + 1))
    for number in range(1, COMMITS + 1):
        boundary = CUT_MS + number * INTERVAL_MS
        slots = rows.slots(users[number * touched : (number + 1) * touched])
        own: Floats = rows.own(slots) + np.float32(0.01)
        rows.write(slots, own)
        rows.clicked(slots, np.full(touched, number), np.full(touched, boundary - 1))
        started = time.perf_counter()
        commit_fresh(committer, learner, base, (0, boundary))
        found.append((time.perf_counter() - started) * 1000)
    committer.state.close()
    return found


READINGS = ByUsers("benchmarks.user_rows", "rows", Reading, write_base, reading)

if __name__ == "__main__":
    sys.exit(READINGS.main())
